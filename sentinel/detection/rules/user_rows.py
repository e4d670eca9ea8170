"""What each user (or API key) did in a second, of a batch: the food of the behavioural detectors, one fact an application and second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sentinel.config.runtime import Scope
from sentinel.detection.facts import ENTITY_RULES, FACT_WIDTH_MS, Fact, UserRow
from sentinel.detection.rules.batch import EventBatch

REGION_TAG = "region"
"""`metadata.tags.region` says where a user comes from."""
API_KEY_TAG = "api_key_id"
"""`metadata.tags.api_key_id` names the key that a call was made with; never the key itself."""
MAX_TEXT = 128


class UserRows:
    """Events that name a user, added up by user, model and region. `scopes` are those of the detectors that want them: any is enough.

    `entity`: whom they watch, of `ENTITY_RULES`; an API key stands in the user's place, and of `key_users` the user in the model's.
    """

    def __init__(self, scopes: Sequence[Scope], entity: str = "user") -> None:
        self._scopes, self._entity = list(scopes), entity

    def facts(self, batch: EventBatch) -> list[Fact]:
        """One fact for each application and second that a user touched."""
        columns, regions = batch.columns, batch.text(f"tags.{REGION_TAG}")
        users = batch.keys("user") if self._entity == "user" else batch.text(f"tags.{API_KEY_TAG}")
        people = batch.keys("user") if self._entity == "key_users" else None
        mask = np.logical_or.reduce([batch.in_scope(scope) for scope in self._scopes])
        seconds = (columns.times_ms // FACT_WIDTH_MS * FACT_WIDTH_MS).tolist()
        tokens = np.nan_to_num(columns.total_tokens, nan=0.0).tolist()
        cost_nano = np.rint(np.nan_to_num(columns.cost, nan=0.0) * 1e9).tolist()
        keys = columns.keys
        ids: Sequence[Any] = batch.event_ids
        found: dict[tuple[str, str, int], dict[tuple[str, str, str], list[Any]]] = {}
        for row in np.flatnonzero(mask).tolist():
            user = users[row]
            if not user:
                continue
            tenant, application, model = keys[row]
            if people is not None:
                model = people[row]
            own = found.setdefault((tenant, application, seconds[row]), {})
            sums = own.setdefault((user, model, regions[row]), [0, 0, 0, ids[row]])
            sums[0] += 1
            sums[1] += int(tokens[row])
            sums[2] += int(cost_nano[row])
            # The smallest id, however the batches were cut.
            sums[3] = min(sums[3], ids[row])
        return [
            Fact(
                tenant, application, second, ENTITY_RULES[self._entity], time_ms=second, last_ms=second, count=len(rows),
                users=_rows(rows), events=[str(event) for *_, event in rows.values()],
            )
            for (tenant, application, second), rows in found.items()
        ]  # fmt: skip


def _rows(rows: dict[tuple[str, str, str], list[Any]]) -> list[UserRow]:
    return [
        (user[:MAX_TEXT], model[:MAX_TEXT], region[:MAX_TEXT], events, tokens, cost)
        for (user, model, region), (events, tokens, cost, _) in rows.items()
    ]
