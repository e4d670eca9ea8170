"""What an anomaly costs the core of correlation and alerting, without Flink: one process, one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from bench.alert_storm import storm
from bench.row import Row
from sentinel.alerting.alert_shard import AlertShard
from sentinel.alerting.blocks import ShardBlocks, entries_of
from sentinel.alerting.inhibition import TenantMutes
from sentinel.alerting.matching import match
from sentinel.alerting.records import AlertRecord, NotificationRecord, Output
from sentinel.anomaly import Anomaly
from sentinel.config.load import default_config
from sentinel.config.runtime import Definition, RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.sink_rows import Value, alert_row, anomaly_row, decision_row, notification_row

FINGERPRINTS = 2_000
ROUNDS = 20
LIVE = 100_000
BATCH = 1_000
DEFINITIONS = (1, 10, 1_000)


class _Clock:
    """Microseconds by step, per anomaly."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}

    def timed(self, name: str, step: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        result = step(*arguments)
        self._spent[name] = self._spent.get(name, 0.0) + time.process_time() - began
        return result

    def per(self, count: int) -> dict[str, float]:
        found = {name: round(spent / count * 1e6, 1) for name, spent in self._spent.items()}
        return found | {"all": round(sum(self._spent.values()) / count * 1e6, 1)}


def run(row: Row) -> Row:
    """Microseconds an anomaly by step; with more definitions; and many live alerts at rest."""
    records = [(one.to_json().decode(), index // FINGERPRINTS) for index, one in enumerate(storm(FINGERPRINTS * ROUNDS, FINGERPRINTS))]
    row.details["correlation_us"] = _correlation(records)
    for number in DEFINITIONS:
        row.details[f"alerting_us, {number:,} definitions"] = _alerting(records, number)
    row.details[f"{LIVE:,} live alerts"] = _live()
    return row


def _config(definitions: int, **changes: object) -> RuntimeConfig:
    """The built-in configuration with so many definitions, each for globs of applications and one for all."""
    config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
    wanted = [
        Definition(id=f"d{n}", name=f"d{n}", description="", trigger="anomaly", application_ids=(f"other-{n}-*",))
        for n in range(definitions - 1)
    ]
    last = Definition(id="all", name="all", description="", trigger="anomaly")
    return msgspec.structs.replace(config, definitions=(*wanted, last), **changes)


def _correlation(records: list[tuple[str, int]]) -> dict[str, float]:
    """Ten records of an id a second; timers each second."""
    config, clock, correlators = _config(1), _Clock(), dict[str, Correlator]()
    second = 0
    for text, round_ in records:
        if round_ // 10 > second:
            second = round_ // 10
            for correlator in correlators.values():
                for one in clock.timed("timers", correlator.on_timer, second * 1_000 + 1_000):
                    clock.timed("rows", anomaly_row, one)
        anomaly: Anomaly = clock.timed("parse", Anomaly.from_json, text)
        if anomaly.tenant_id not in correlators:
            correlators[anomaly.tenant_id] = Correlator(config)
        correlator = correlators[anomaly.tenant_id]
        for one in clock.timed("fold and relate", correlator.on_anomaly, anomaly, second * 1_000):
            clock.timed("rows", anomaly_row, one)
        clock.timed("next timer", correlator.next_timer)
    return clock.per(len(records))


def _alerting(records: list[tuple[str, int]], definitions: int) -> dict[str, float]:
    """The steps of `udfs.route_anomalies` and `operators.alerting`, `BATCH` records at a time."""
    config, clock, shards = _config(definitions), _Clock(), dict[str, AlertShard]()
    mutes = TenantMutes(config)
    for begin in range(0, len(records), BATCH):
        batch = records[begin : begin + BATCH]
        now, blocks = 1_000_000 + batch[0][1] * 100, ShardBlocks()
        for text, _ in batch:
            anomaly = clock.timed("parse", Anomaly.from_json, text)
            for key in clock.timed("match", match, anomaly, config):
                clock.timed("blocks", blocks.add, clock.timed("key", key.to_text), text)
        for name, block in clock.timed("blocks", blocks.take):
            shard = shards.setdefault(name, AlertShard((), config, mutes, now, now))
            outputs: list[Output] = []
            for key, anomaly in clock.timed("parse again", entries_of, block):
                outputs += clock.timed("life cycle", shard.on_anomaly, key, anomaly, now)
            outputs += clock.timed("timers", shard.on_time, now)
            clock.timed("state", shard.written)
            for output in outputs:
                clock.timed("rows", _row, output)
    return clock.per(len(records))


def _row(output: Output) -> list[Value]:
    if isinstance(output, AlertRecord):
        return alert_row(output, "")
    return notification_row(output) if isinstance(output, NotificationRecord) else decision_row(output)


def _live() -> dict[str, float]:
    """Wakes in an hour without anomalies (repeat interval and resolve timeout are longer), and reading all back."""
    config = _config(1, resolve_timeout_s=86_400.0)
    mutes, stored = TenantMutes(config), dict[str, bytes]()
    shard = AlertShard((), config, mutes, 0, 0)
    for one in storm(LIVE, LIVE):
        for key in match(one, config):
            shard.on_anomaly(key.to_text(), one, 1_000_000)
    shard.on_time(1_000_000 + 120_000)
    stored = shard.written()
    before, began = shard.wakes, time.process_time()
    shard.on_time(1_000_000 + 3_600_000)
    rest_s = time.process_time() - began
    wakes = shard.wakes - before
    began = time.process_time()
    AlertShard(stored.items(), config, mutes, 5_000_000, 5_000_000)
    return {
        "wakes_in_an_hour_at_rest": wakes,
        "cpu_s_in_an_hour_at_rest": round(rest_s, 3),
        "read_back_s": round(time.process_time() - began, 2),
        "bytes_an_alert": round(sum(map(len, stored.values())) / LIVE),
    }
