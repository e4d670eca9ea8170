"""Anomalies on their way to shards: what goes into blocks comes out of them, in order, and for every alert that is concerned."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import pytest
from alerting_simulation import RECEIVERS, anomaly, config, definition, route

from sentinel.alerting import blocks
from sentinel.alerting.blocks import ShardBlocks, entries_of, refuse_strays, shard_of
from sentinel.alerting.inhibition import InhibitSource
from sentinel.alerting.matching import match
from sentinel.config.runtime import InhibitRule, Matcher, RuntimeConfig
from sentinel.kafka_access import KafkaAccess
from udfs.route_anomalies import RouteAnomalies


def routed(settings: RuntimeConfig, records: list[str]) -> tuple[list[tuple[str, str]], list[InhibitSource]]:
    """Entries (alert key, anomaly id) by what the hop says, as the job takes its lines apart; and sources of inhibition."""
    hop: Any = RouteAnomalies(KafkaAccess("nowhere:1"), b"")
    hop._watch = SimpleNamespace(current=settings)
    rows = hop.eval(pd.Series(records))
    assert len(rows) == len(records), "a vectorised function owes a row for each"
    lines = [line for row in rows.tolist() if row is not None for line in row.split("\n")]
    entries = []
    for line in lines:
        if not line.startswith("{"):
            found = entries_of(line[2:])
            assert {shard_of(key) for key, _ in found} == {line[:2]}
            entries += [(key, one.anomaly_id) for key, one in found]
    return entries, [InhibitSource.from_json(line) for line in lines if line.startswith("{")]


def text(name: str, **fields: Any) -> str:
    return anomaly(name, **fields).to_json().decode()


def test_shards_are_those_of_the_state() -> None:
    # State is found by them, and SQL finds them as well. MD5 begins with 0c for "a" and with 92 for "b"; of RFC 1321: c3 for the alphabet, 57 for the
    # digits. So their numbers are 1, 18, 24 and 10.
    wanted = {"a": "0a", "b": "9a", "abcdefghijklmnopqrstuvwxyz": "cc", "1234567890" * 8: "5a"}
    assert {key: shard_of(key) for key in wanted} == wanted
    assert len({shard_of(str(number)) for number in range(2_000)}) == 32


def test_alerts_that_lie_in_a_shard_of_another_release_are_refused() -> None:
    refuse_strays("0a", ["a"])
    with pytest.raises(ValueError, match="state of another release: an alert of shard '0a' lies in shard '0b'"):
        refuse_strays("0b", ["a"])


def test_one_anomaly_may_concern_more_alerts_than_there_are_rows() -> None:
    settings = config(*(definition(f"d{number}") for number in range(40)))
    entries, _ = routed(settings, [text("one")])
    assert {json.loads(key)[1] for key, _ in entries} == {f"d{number}" for number in range(40)}


def test_records_of_an_alert_stay_in_order_and_nothing_is_lost() -> None:
    settings = config(definition("d"))
    records = [text(f"{app}-{step}", application_id=f"app-{app}", count=step) for step in range(30) for app in range(20)]
    entries, _ = routed(settings, records)
    by_key: dict[str, list[str]] = {}
    for key, name in entries:
        by_key.setdefault(key, []).append(name)
    assert sorted(by_key.values()) == sorted([f"{app}-{step}" for step in range(30)] for app in range(20))


def test_a_record_that_is_no_anomaly_is_passed_over_and_a_pretty_one_is_not() -> None:
    pretty = json.dumps(json.loads(text("pretty")), indent=2)
    entries, _ = routed(config(definition("d")), ["{", pretty, '{"anomaly_id": 7}', text("plain")])
    assert [name for _, name in entries] == ["pretty", "plain"]


def test_what_inhibits_is_said_once_a_batch() -> None:
    rule = InhibitRule((Matcher("severity", "=", "critical"),), (Matcher("severity", "=", "warning"),), name="r")
    settings = config(inhibit_rules=(rule,), routes=(route("ops"),), receivers=RECEIVERS)
    records = [text(f"a{step}", severity="critical", count=step) for step in range(10)] + [text("b", severity="warning")]
    entries, sources = routed(settings, records)
    assert (len(entries), len(sources)) == (11, 1)


def test_a_long_block_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_BLOCK_CHARS", 1_000)
    collected, one = ShardBlocks(), anomaly("a")
    (key,) = match(one, config(definition("d")))
    for step in range(20):
        collected.add(key.to_text(), msgspec.structs.replace(one, count=step).to_json().decode())
    found = collected.take()
    assert len(found) > 5 and {shard for shard, _ in found} == {shard_of(key.to_text())}
    assert [record.count for _, block in found for _, record in entries_of(block)] == list(range(20))
    assert collected.take() == []


def test_what_is_not_a_block_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `object`, got `int` - at `\$\[0\]\[1\]`"):
        entries_of('[["key", 7]]')
