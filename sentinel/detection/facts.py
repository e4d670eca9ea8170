"""Facts: what the hop tells the rules of an application about single events, rare or folded.

A *match* says that an event (or `count` of them in a row) met the conditions in `mask`; an *aggregate* sums up the events of one key and second
that a rule counts. Facts of a second travel with its panes and are judged when event time has passed it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

FACT_WIDTH_MS = 1_000
HISTOGRAM_GROWTH = 1.04
"""Buckets of facts' histograms are 4 % wide: a percentile is right to 2 %."""
ZERO_BUCKET = -100_000
"""The bucket of values that are not above zero."""


UserRow = tuple[str, str, str, int, int, int]
"""User, model, region ('' where unknown), events, tokens, cost in nano-USD."""


ENTITY_RULES = {"user": "", "api_key": "api_key\n", "key_users": "key_users\n"}
"""Whom behavioural detectors watch, and the `rule` of the facts about them; no detector's id holds a line break. `key_users`: API keys with the users
behind them, in the place of the model."""


def watched_by(params: Mapping[str, Any]) -> str:
    """Which of `ENTITY_RULES` a behavioural detector with these settings watches."""
    return "key_users" if "key_users" in params.get("watch", ()) else str(params.get("entity", "user"))


class Fact(msgspec.Struct, array_like=True):
    """One fact. `part` is the place of a condition in a composite; `key` what the rule keeps apart (user, session …), '' for all.

    Users (a rule of `ENTITY_RULES`): what each user, or API key, did in the second, for all behavioural detectors of the application; `events` names
    an event of each.
    Match: `mask` has bit i set for the i-th named event; `time_ms` to `last_ms`; `event` is the first event's id.
    Aggregate (mask 0): `total`, `low`, `high` of `count` values, `event` behind the highest, sparse `histogram` of the values.
    """

    tenant_id: str
    application_id: str
    start_ms: int
    rule: str
    part: int = 0
    key: str = ""
    count: int = 1
    time_ms: int = 0
    last_ms: int = 0
    mask: int = 0
    event: str = ""
    total: float = 0.0
    low: float = 0.0
    high: float = 0.0
    histogram: list[tuple[int, int]] = []
    users: list[UserRow] = []
    events: list[str] = []

    @property
    def end_ms(self) -> int:
        return self.start_ms + FACT_WIDTH_MS


def bucket_of(value: float) -> int:
    """The histogram bucket of a value."""
    return math.ceil(math.log(value) / math.log(HISTOGRAM_GROWTH)) if value > 0.0 else ZERO_BUCKET


def bucket_value(bucket: int) -> float:
    """The value that stands for a bucket: the middle on the log scale."""
    return 0.0 if bucket == ZERO_BUCKET else float(HISTOGRAM_GROWTH ** (bucket - 0.5))
