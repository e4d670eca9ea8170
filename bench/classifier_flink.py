"""The detection job with the injection classifier on: every event a prompt of 40 words, one in twenty an attack. The aim is 15,000 events/s."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
import orjson

from bench.classifier_cost import ATTACK_SHARE, prompts
from bench.flink_row import run_job
from bench.row import Row
from bench.stack import BenchStack, sentinel
from bench.topic import EVENTS_PER_SECOND, Filled, recreate
from services.traffic.bulk import bulk_events
from services.traffic.kafka_out import KafkaSender

TOPIC = "llm-events"
WORDS = 40
TEXTS = 20_000
"""Different prompts; each is sent again after so many, as the vocabulary of real traffic repeats too."""
_DETECTOR = {"id": "injection", "type": "ml", "strategy": "classifier", "config": {"fields": ["prompt"]}}


def run(stack: BenchStack, row: Row, events: int, keys: int) -> Row:
    """Fill the row: the job with the classifier; in the details the same events without it."""
    filled = _fill(stack, events, keys)
    try:
        jobs: dict[str, Row] = {}
        for name, items in (("without", []), ("with", [_DETECTOR])):
            _apply(stack, {"detectors": items})
            stack.cancel_all()
            stack.empty_tables()
            own = Row(f"{row.name}-{name}", row.what, row.command)
            jobs[name] = run_job(stack, own, "jobs.detection", [], "detection", filled)
    finally:
        stack.cancel_all()
        _apply(stack, {})
    measured, plain = jobs["with"], jobs["without"]
    row.rate, row.wall_s, row.events = measured.rate, measured.wall_s, filled.events
    row.cpu_s_per_million, row.pss_bytes = measured.cpu_s_per_million, measured.pss_bytes
    row.checkpoints, row.checkpoints_failed, row.restarts = measured.checkpoints, measured.checkpoints_failed, measured.restarts
    row.details = {
        "words of a prompt": WORDS,
        "share of attacks": ATTACK_SHARE,
        "events/s without the classifier": round(plain.rate),
        "CPU s per million without the classifier": plain.cpu_s_per_million,
    }
    return row


def _apply(stack: BenchStack, config: dict[str, Any]) -> None:
    path = stack.layout.home / "classifier.yaml"
    # JSON is YAML.
    path.write_bytes(msgspec.json.encode(config))
    sentinel(stack.layout.home, "config", "apply", str(path))


def _fill(stack: BenchStack, events: int, keys: int) -> Filled:
    recreate(stack.bootstrap, TOPIC)
    # The next row that wants the topic fills it anew.
    (stack.layout.home / f"topic-{TOPIC}.json").unlink(missing_ok=True)
    texts = prompts(WORDS, TEXTS, ATTACK_SHARE)
    sender = KafkaSender(stack.bootstrap, TOPIC, lambda s: print(f"  {TOPIC}: {s.acked:,} of {events:,} events", file=sys.stderr))
    begin_ms = int(time.time() * 1000) - events * 1000 // EVENTS_PER_SECOND - 5_000
    stream = bulk_events(events, keys=keys, event_bytes=600, start_ms=begin_ms, rate=EVENTS_PER_SECOND, mix="requests")
    for number, (ts_ms, key, value) in enumerate(stream):
        event = orjson.loads(value)
        event["data"]["prompt"] = texts[number % TEXTS]
        sender.send(ts_ms, key, orjson.dumps(event))
    sender.finish()
    return Filled(TOPIC, events, keys, [], [])
