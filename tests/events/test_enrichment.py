"""What becomes of a valid event at the door: nothing where nothing is needed, byte for byte; else model, cost and personal data."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest

from sentinel.anomaly import Anomaly
from sentinel.events.columns import columns_of
from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.known_keys import has_unknown_keys
from sentinel.events.model import Event
from sentinel.events.rejects import RefusedEventError
from sentinel.pricing.table import OwnPrice, PricingSettings
from sentinel.privacy.policy import PrivacyPolicy, PrivacySettings
from services.traffic.bulk import bulk_events
from tests.support.telemetry import event, request, response, without_event_ids

NOW = round(time.time() * 1000)
ENRICHMENT = Enrichment(PrivacySettings(tenants={"lenient": PrivacyPolicy("off")}), PricingSettings())


def _decoded(value: bytes) -> Event:
    decoded = decode_batch([value], [NOW])
    assert not decoded.rejects, decoded.rejects
    return decoded.events[0]


def _finish(content: dict[str, Any], enrichment: Enrichment = ENRICHMENT) -> dict[str, Any]:
    value = json.dumps(content).encode()
    result: dict[str, Any] = json.loads(enrichment.finish(value, _decoded(value)))
    return result


def test_what_needs_nothing_goes_on_byte_for_byte() -> None:
    for _, _, value, *_ in bulk_events(500, keys=20, start_ms=NOW, rate=1000):
        assert ENRICHMENT.finish(value, _decoded(value)) is value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"cost": None, "model": "gpt-4o"}, {"cost": 0.00075, "cost_source": "price_table"}),
        ({"cost": 0, "model": "gpt-4o"}, {"cost": 0.00075, "cost_source": "price_table"}),
        ({"cost": 0.5, "model": "gpt-4o"}, {"cost": 0.5, "cost_source": None}),
        ({"cost": None}, {"cost": None, "cost_source": "unknown", "cost_reason": "no price for model model-a"}),
        ({"cost": 0}, {"cost": None, "cost_source": "unknown", "cost_reason": "no price for model model-a; the event said 0 with tokens"}),
        ({"cost": 0, "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"cost": 0, "cost_source": None}),
        ({"cost": None, "model": None}, {"cost": None, "cost_source": "unknown", "cost_reason": "the event names no model"}),
        ({"cost": 0.5, "model": "openai/gpt-4o"}, {"model": "gpt-4o", "model_sent": "openai/gpt-4o", "cost": 0.5}),
    ],
)
def test_cost_and_model(data: dict[str, Any], expected: dict[str, Any]) -> None:
    found = _finish(response(NOW, "acme", "chat", **data))["data"]
    assert {name: found.get(name) for name in expected} == expected


def test_finishing_twice_changes_nothing() -> None:
    content = response(NOW, "acme", "chat", cost=0, model="openai/gpt-4o", response="mail a@example.org")
    once = _finish(content)
    assert _finish(once) == once and once["data"]["response"] == "mail [EMAIL]"


def test_personal_data_wherever_it_stands() -> None:
    content = request(NOW, "acme", "chat", prompt="I am jane@example.org") | {
        "correlation_id": "jane@example.org/7",
        "metadata": {
            "user_id": "jane@example.org",
            "session_id": "s-1",
            "tags": {"note": "card 4111 1111 1111 1111"},
            "own": "joe@example.org",
        },
        "extra": [{"tool": "call +49 30 1234567"}],
    }
    content["data"]["context"] = {"messages": [{"role": "user", "content": "my iban is DE89 3704 0044 0532 0130 00"}]}
    found = _finish(content)
    assert found["data"]["prompt"] == "I am [EMAIL]"
    assert found["data"]["context"]["messages"][0]["content"] == "my iban is [IBAN]"
    assert found["extra"] == [{"tool": "call [PHONE]"}]
    assert found["metadata"]["tags"] == {"note": "card [CREDIT_CARD]"} and found["metadata"]["own"] == "[EMAIL]"
    assert found["metadata"]["user_id"].startswith("[EMAIL#") and found["correlation_id"] == found["metadata"]["user_id"] + "/7"
    text = without_event_ids(json.dumps(found))
    assert "example.org" not in text and "4111" not in text
    assert {name: found[name] for name in ("event_id", "timestamp", "source")} == {
        name: content[name] for name in ("event_id", "timestamp", "source")
    }


@pytest.mark.parametrize(
    "content",
    [
        event("llm.error", NOW, "acme", "chat", {"error_type": "timeout", "message": "no answer for jane@example.org"}),
        event("llm.metric", NOW, "acme", "chat", {"metric_name": "m", "value": 1, "dimensions": {"who": "jane@example.org"}}),
        event("llm.trace", NOW, "acme", "chat", {"trace_id": "t", "span_id": "s", "name": "ask jane@example.org", "duration_ms": 3}),
        event("llm.response", NOW, "acme", "chat", {"status": "success", "latency_ms": 1, "response": "jane@example.org"}),
    ],
    ids=["error", "metric", "trace", "response"],
)
def test_every_type_of_event(content: dict[str, Any]) -> None:
    assert "jane" not in json.dumps(_finish(content))


def test_the_policy_is_that_of_the_tenant_who_sends() -> None:
    content = request(NOW, "lenient", "chat", prompt="I am jane@example.org")
    value = json.dumps(content).encode()
    assert ENRICHMENT.finish(value, _decoded(value)) is value
    assert b"[EMAIL]" in ENRICHMENT.finish(value, _decoded(value), "acme")


def test_a_document_too_deep_to_look_through_is_refused() -> None:
    content = request(NOW, "acme", "chat")
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    value = json.dumps(content | {"extra": deep}).encode()
    with pytest.raises(RefusedEventError, match="at most 100 levels"):
        ENRICHMENT.finish(value, _decoded(value))


def test_columns_of_a_job_that_keeps_no_text() -> None:
    enrichment = Enrichment(PrivacySettings(), PricingSettings(models={"model-*": OwnPrice(1, 2)}))
    contents = [
        response(NOW, "acme", "chat", cost=None),
        response(NOW, "acme", "chat", cost=0, model="nope"),
        response(NOW, "acme", "chat"),
    ]
    contents[0]["metadata"] = {"user_id": "jane@example.org"}
    events = [_decoded(json.dumps(content).encode()) for content in contents]
    columns = columns_of(events, np.zeros(3, np.int64), enrichment.new_names(), enrichment.cost_of)
    assert columns.cost.tolist() == [pytest.approx(0.0002), pytest.approx(math.nan, nan_ok=True), 0.002]
    assert [one.data.cost for one in events] == [pytest.approx(0.0002), None, 0.002]
    assert columns.users[0].startswith("[EMAIL#") and columns.users[1:] == ["", ""]


def test_a_finding_quotes_no_personal_data() -> None:
    anomaly = Anomaly(
        anomaly_id="a",
        timestamp="",
        detector_id="d",
        severity="info",
        score=1,
        tenant_id="acme",
        description="“mail me at jane@example.org”",
    )
    ENRICHMENT.redact_anomalies([anomaly])
    assert anomaly.description == "“mail me at [EMAIL]”"


def test_keys_of_the_producers_own_are_seen() -> None:
    content = request(NOW, "acme", "chat")
    assert not has_unknown_keys(json.dumps(content).encode())
    for changed in (content | {"own": 1}, content | {"data": content["data"] | {"own": 1}}, content | {"metadata": {"own": 1}}):
        assert has_unknown_keys(json.dumps(changed).encode())


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({"provider": "azure.ai.openai", "time_to_first_token_ms": 12.5}, True),
        ({"provider": None}, True),
        ({"provider": "jane@example.org"}, False),
        ({"provider": "4111 1111 1111 1111"}, False),
        ({"time_to_first_token_ms": 4111111111111111}, False),
        ({"time_to_first_token_ms": "jane@example.org"}, False),
    ],
)
def test_keys_of_opentelemetry_are_known_while_they_hold_nothing_of_a_person(more: dict[str, Any], known: bool) -> None:
    content = response(NOW, "acme", "chat")
    content["data"] |= more
    assert has_unknown_keys(json.dumps(content).encode()) is not known
    text = without_event_ids(json.dumps(_finish(content)))
    assert "jane" not in text and "4111" not in text


def test_a_key_that_is_not_utf8_is_refused_and_breaks_nothing() -> None:
    value = json.dumps(response(NOW, "acme", "chat") | {"own": 1}).encode().replace(b'"own"', b'"\x95wn"')
    with pytest.raises(RefusedEventError) as caught:
        ENRICHMENT.finish(value, decode_batch([value], [NOW]).events[0])
    assert caught.value.reject.expected == "one JSON object in UTF-8"
