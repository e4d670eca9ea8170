"""The detection job with the injection classifier on: every event a prompt of 40 words. The aim is 15,000 events/s.

The row is that of one attack in a hundred prompts; an attack costs several times what a plain prompt costs, for its reasons and its anomaly, so one in
twenty is beside it in the details.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import orjson

from bench.classifier_cost import prompts
from bench.flink_row import run_job
from bench.row import Row
from bench.stack import BenchStack
from bench.topic import EVENTS_PER_SECOND, Filled, recreate
from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender

TOPIC = "llm-events"
WORDS = 40
SHARES = (0.05, 0.01)
TEXTS = 20_000
"""Different prompts; each is sent again after so many, as the vocabulary of real traffic repeats too."""
_DETECTOR = {"id": "injection", "type": "ml", "strategy": "classifier", "config": {"fields": ["prompt"]}}


def run(stack: BenchStack, row: Row, events: int, keys: int) -> Row:
    """Fill the row: the job with the classifier; in the details the same events without it."""
    jobs: dict[str, Row] = {}
    try:
        for share in SHARES:
            filled = _fill(stack, events, keys, share)
            jobs[f"{share:.0%} attacks"] = _job(stack, row, filled, [_DETECTOR])
        jobs["without"] = _job(stack, row, filled, [])
    finally:
        stack.cancel_all()
        stack.configure()
    measured = jobs[f"{SHARES[-1]:.0%} attacks"]
    row.rate, row.wall_s, row.events = measured.rate, measured.wall_s, events
    row.cpu_s_per_million, row.pss_bytes = measured.cpu_s_per_million, measured.pss_bytes
    row.checkpoints, row.checkpoints_failed, row.restarts = measured.checkpoints, measured.checkpoints_failed, measured.restarts
    row.details = {
        "words of a prompt": WORDS,
        **{
            name: {"events/s": round(own.rate), "CPU s per million": own.cpu_s_per_million, "restarts": own.restarts}
            for name, own in jobs.items()
        },
    }
    return row


def _job(stack: BenchStack, row: Row, filled: Filled, items: list[dict[str, Any]]) -> Row:
    stack.configure({"detectors": items})
    stack.cancel_all()
    stack.empty_tables()
    return run_job(stack, Row(row.name, row.what, row.command), "jobs.detection", [], "detection", filled)


def _fill(stack: BenchStack, events: int, keys: int, attacks: float) -> Filled:
    recreate(stack.bootstrap, TOPIC)
    # The next row that wants the topic fills it anew.
    (stack.layout.home / f"topic-{TOPIC}.json").unlink(missing_ok=True)
    texts = prompts(WORDS, TEXTS, attacks)
    sender = KafkaSender(stack.bootstrap, TOPIC, lambda s: print(f"  {TOPIC}: {s.acked:,} of {events:,} events", file=sys.stderr))
    begin_ms = int(time.time() * 1000) - events * 1000 // EVENTS_PER_SECOND - 5_000
    stream = bulk_events(events, keys=keys, event_bytes=600, start_ms=begin_ms, rate=EVENTS_PER_SECOND, mix="requests")
    for number, (ts_ms, key, value) in enumerate(stream):
        event = orjson.loads(value)
        event["data"]["prompt"] = texts[number % TEXTS]
        sender.send(ts_ms, key, orjson.dumps(event))
    sender.finish()
    return Filled(TOPIC, events, keys, [], [])
