"""What the door adds to an event after decoding: one process, one core, no Flink. The reference is decoding and validation themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.row import Row
from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.model import Event
from sentinel.pricing.table import OwnPrice, PriceTable, PricingSettings
from sentinel.privacy.policy import PrivacyPolicy, PrivacySettings
from services.traffic.bulk import bulk_events

EVENTS = 20_000
ROUNDS = 3


def costs() -> dict[str, float]:
    """Microseconds of CPU an event of about 900 bytes; the best of some rounds."""
    now_ms = int(time.time() * 1000)
    values = [one[2] for one in bulk_events(EVENTS, keys=1_000, start_ms=now_ms, rate=10_000)]
    events = decode_batch(values, [now_ms] * EVENTS).events
    prices = PricingSettings(models={"*": OwnPrice(1, 2)})
    whole, off = Enrichment(PrivacySettings(), prices), Enrichment(PrivacySettings(PrivacyPolicy("off")), prices)
    private = [
        value.replace(b'"prompt":"', b'"prompt":"I am jane@example.org. ').replace(b'"response":"', b'"response":"Dear jane@example.org. ')
        for value in values
    ]
    table = PriceTable(prices)
    names, times = whole.new_names(), np.full(EVENTS, now_ms)
    return {
        "reference: decode and validate": _best(lambda: decode_batch(values, [now_ms] * EVENTS)),
        "nothing to do, policy mask": _best(lambda: _all(whole.finish, values, events)),
        "nothing to do, policy off": _best(lambda: _all(off.finish, values, events)),
        "an e-mail address in each, masked": _best(lambda: _all(whole.finish, private, decode_batch(private, [now_ms] * EVENTS).events)),
        "names, costs, columns, for a job that keeps no text": _best(lambda: columns_of(events, times, names, whole.cost_of)),
        "one price": _best(lambda: [table.cost("gpt-4o", 1_000, 500, None) for _ in range(EVENTS)]),
    }


def _all(finish: Callable[[bytes, Event], bytes], values: list[bytes], events: list[Event]) -> None:
    for value, event in zip(values, events, strict=True):
        finish(value, event)


def _best(step: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        step()
        best = min(best, time.process_time() - began)
    return round(best / EVENTS * 1e6, 2)


def run(row: Row) -> Row:
    """The row."""
    row.details = {"us_per_event": costs()}
    return row
