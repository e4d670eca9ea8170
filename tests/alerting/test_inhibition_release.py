"""An alert that somebody declares over holds back no others from then on; whoever is on both sides of it goes by the same."""

from __future__ import annotations

from typing import Any

from sentinel.alerting.inhibition import InhibitSource, TenantMutes, inhibit_sources
from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig

TEXT = """
alerting:
  resolveTimeout: 1h
  inhibitRules: [{name: worse-first, sourceMatchers: ['severity="critical"'], targetMatchers: ['severity="warning"'], equal: [application_id]}]
"""
CONFIG = RuntimeConfig.from_snapshot(1, parse_config(TEXT, "test").config.to_snapshot())
NOW = "2026-03-02T12:00:00.000Z"
TARGET = {"severity": "warning", "application_id": "chat"}


def _source(detector: str) -> InhibitSource:
    values: dict[str, Any] = {
        "anomaly_id": f"an-{detector}",
        "timestamp": NOW,
        "first_seen": NOW,
        "last_seen": NOW,
        "detector_id": detector,
    }
    found = Anomaly(**values, severity="critical", score=1.0, tenant_id="acme", application_id="chat")
    (key,) = match(found, CONFIG)
    (source,) = inhibit_sources(found, [key], CONFIG, 1_000)
    assert source.key == key.to_text()
    return InhibitSource.from_json(source.to_json())


def test_it_holds_back_until_somebody_declares_it_over() -> None:
    mutes, first, second = TenantMutes(CONFIG), _source("a"), _source("b")
    for source in (first, second):
        mutes.learn(source)

    def held(now_ms: int) -> str | None:
        return mutes.of("acme").inhibitor.inhibiting(TARGET, now_ms)

    assert held(5_000) == "worse-first"
    mutes.end(first, 5_000)
    assert held(5_001) == "worse-first", "the other one fires on"
    serial = mutes.serial
    mutes.end(second, 6_000)
    assert held(5_999 + 1) is None
    assert mutes.changed_since(serial) == ["acme"], "alerts that sleep hear of it"
    mutes.learn(InhibitSource(second.source, second.labels, 7_000, 9_000, second.key))
    assert held(8_000) == "worse-first", "it fires anew"


def test_a_report_of_an_earlier_release_is_read() -> None:
    old = '{"source":"acme","labels":{"severity":"critical"},"starts_at":1,"ends_at":2}'
    assert InhibitSource.from_json(old).key == ""
