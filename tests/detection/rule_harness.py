"""Events as a producer writes them through decoding, per-event rules, facts and panes to the shard engine: the way of the job, without Flink."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from sentinel.anomaly import Anomaly
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.detection.facts import Fact
from sentinel.detection.failures import Failures
from sentinel.detection.rules.engine import EventRules
from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.folding import fold
from sentinel.pane_blocks import from_texts, to_text
from sentinel.panes import Pane, UserPane

START_MS = 1_800_000_000_000


def runtime(detectors: list[dict[str, Any]], version: int = 1) -> RuntimeConfig:
    """The workers' view of a configuration with these detectors, through the front door."""
    loaded = parse_config(json.dumps({"detectors": detectors}), "rules.yaml")
    return RuntimeConfig.from_snapshot(version, loaded.config.to_snapshot())


def rule(name: str, strategy: str, severity: str = "critical", **config: Any) -> dict[str, Any]:
    """A detector as a user writes it."""
    return {"id": name, "type": "rule", "strategy": strategy, "config": config, "actions": [{"alert": name, "severity": severity}]}


def event(at_s: float, kind: str = "llm.response", application: str = "chat", user: str = "", **data: Any) -> tuple[int, dict[str, Any]]:
    """(event time, event)."""
    fill = {
        "llm.response": {"status": "success", "latency_ms": 100.0, "model": "m"},
        "llm.request": {"model": "m", "prompt": "hello"},
        "llm.error": {"error_type": "timeout"},
    }
    tags = data.pop("tags", None)
    session = data.pop("session", None)
    content: dict[str, Any] = {
        "timestamp": "2027-01-15T08:00:00Z",
        "source": {"service": "s", "host": "h"},
        "event_type": kind,
        "tenant_id": "acme",
        "application_id": application,
        "data": {**fill.get(kind, {}), **data},
        "metadata": {"user_id": user or None, "tags": tags, "session_id": session},
    }
    return START_MS + round(at_s * 1000), content


def event_name(number: int) -> str:
    """The id of the event that was sent as number `number`, when it brought none."""
    return str(uuid.UUID(int=number + 1))


class Job:
    """The path of the job for one shard. `send` takes a batch; `close` moves event time on."""

    def __init__(self, config: RuntimeConfig) -> None:
        self.failures = Failures()
        self.rules = EventRules(config, self.failures)
        self.config = config
        self.engine = ShardEngine.from_state(None, config)
        self.found: list[Anomaly] = []
        self.facts: list[Fact] = []
        self._ids = 0

    def send(self, *events: tuple[int, dict[str, Any]]) -> None:
        """One batch: findings of per-event rules at once, panes and facts into the engine."""
        times = [at for at, _ in events]
        decoded = decode_batch(
            [json.dumps(content).encode() for _, content in events], times, datetime.fromtimestamp(START_MS / 1000 + 60, UTC)
        )
        assert not decoded.rejects, decoded.rejects[0]
        columns = columns_of(decoded.events, np.array(times, np.int64)[decoded.rows])
        ids = [event.event_id or uuid.UUID(event_name(self._ids + number)) for number, event in enumerate(decoded.events)]
        self._ids += len(ids)
        found = self.rules.evaluate(decoded.events, columns, ids, times[0])
        facts = self.rules.facts(decoded.events, columns, ids, found)
        self.found += found
        self.facts += facts
        for _, block in fold(columns, ids, facts):
            block = from_texts(to_text(block))
            self.take([*block.panes(), *block.facts])

    def take(self, panes: list[Pane | UserPane | Fact], watermark_ms: int = 0) -> None:
        """Panes as the pane stage hands them over."""
        self.found += self.engine.on_panes(panes, watermark_ms)

    def close(self, at_s: float) -> None:
        """Event time comes to `at_s` from the start; state goes through its bytes, as at a checkpoint."""
        self.engine = ShardEngine.from_state(self.engine.to_state(), self.config)
        self.found += self.engine.on_time(START_MS + round(at_s * 1000) - 1)

    def of(self, detector: str) -> list[Anomaly]:
        """What a detector found."""
        return [anomaly for anomaly in self.found if anomaly.detector_id == detector]


def seconds(anomalies: list[Anomaly]) -> list[float]:
    """When they were detected, in seconds from the start."""
    from sentinel.timestamps import from_rfc3339

    return [(from_rfc3339(anomaly.timestamp) - START_MS) / 1000 for anomaly in anomalies]


def record(anomaly: Anomaly) -> dict[str, Any]:
    """The record as it travels."""
    found: dict[str, Any] = msgspec.json.decode(anomaly.to_json())
    return found
