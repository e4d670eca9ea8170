"""The vectorised function of the ingestion job on a batch as Flink hands it over, without Flink."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pandas as pd
import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.events.enrichment import Enrichment
from sentinel.events.halves import halves_of
from sentinel.events.model import PULSE
from sentinel.identity import once_key
from sentinel.kafka_access import KafkaAccess
from tests.support.telemetry import request, response
from udfs.admit_events import AdmitEvents

NOW = round(time.time() * 1000)


class _Watch:
    def __init__(self, text: str) -> None:
        self.current = RuntimeConfig.from_snapshot(1, parse_config(text, "c.yaml").config.to_snapshot())


def _admit(contents: list[Any], config: str = "{}") -> pd.DataFrame:
    function = AdmitEvents(KafkaAccess("nowhere:1"), b"")
    function._watch = _Watch(config)  # type: ignore[assignment]
    function._version = 1
    function._enrichment = Enrichment.of(function._watch.current)
    values = [content if isinstance(content, bytes) else json.dumps(content).encode() for content in contents]
    size = len(values)
    times = pd.Series(pd.to_datetime([NOW] * size, unit="ms"))
    return function.eval(pd.Series(values), pd.Series(["t"] * size), pd.Series([0] * size), pd.Series(range(size)), times)


def test_good_bad_rewritten_and_pulses_each_in_their_row() -> None:
    camel = response(NOW, "acme", "camel")
    camel["eventType"] = camel.pop("event_type")
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    found = _admit([request(NOW, "acme", "chat", "I am a@example.org"), b"{", camel, PULSE, response(NOW, "acme", "deep") | {"own": deep}])
    assert found["key"].tolist() == ["acme|chat", None, "acme|camel", "pulse-0", None]
    assert json.loads(found["event"][0])["data"]["prompt"] == "I am [EMAIL]"
    assert json.loads(found["event"][2])["event_type"] == "llm.response"
    assert [json.loads(letter)["path"] if letter else None for letter in found["dlq"]] == [None, "$", None, None, "$"]
    assert "at most 100 levels" in json.loads(found["dlq"][4])["expected"]


@pytest.mark.parametrize("wants", [True, False])
def test_each_id_once_is_the_tenants_choice(wants: bool) -> None:
    content = response(NOW, "acme", "chat")
    nameless = {name: item for name, item in content.items() if name != "event_id"}
    found = _admit([content, nameless, response(NOW, "other", "chat")], f"tenants: {{acme: {{deduplicateEvents: {str(wants).lower()}}}}}")
    assert found["once_key"].tolist() == [once_key("acme", uuid.UUID(content["event_id"])) if wants else None, None, None]
    assert json.loads(found["event"][1])["event_id"]


def test_only_exchanges_of_tenants_who_want_it_are_paired() -> None:
    asked, other = request(NOW, "acme", "chat"), request(NOW, "other", "chat") | {"correlation_id": "c"}
    answered = response(NOW, "acme", "chat") | {"correlation_id": "c"}
    bare = response(NOW, "acme", "chat") | {"correlation_id": "d"}
    del bare["data"]["latency_ms"]
    contents = [asked, asked | {"correlation_id": "c"}, other, answered, bare, bare | {"tenant_id": "other"}]
    found = _admit(contents, "tenants: {acme: {pairRequests: true}}")
    assert [text is not None for text in found["event"]] == [True, True, True, False, False, False]
    halves = [half for text in found["halves"] if text for half in halves_of(text)]
    assert sorted(json.loads(half.event)["correlation_id"] for half in halves) == ["c", "c", "d"]
    (waiting,) = [half for half in halves if half.dlq]
    assert json.loads(waiting.dlq or "")["path"] == "$.data.latency_ms" and "latency_ms" not in json.loads(waiting.event)["data"]
    assert [letter is not None for letter in found["dlq"]] == [False] * 5 + [True]
    assert all(part.startswith("acme|") for part in found["part"] if part)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("ingestion: {pairing: {enable: true}}", "did you mean enabled"),
        ("ingestion: {pairing: {timeout: 2h}}", "3600"),
        ("tenants: {acme: {pairRequest: true}}", "did you mean pairRequests"),
    ],
)
def test_misspelt_pairing_is_refused(config: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_config(config, "c.yaml")
