"""Requests and their answers, without Flink: what the answer gets, in which order they may come, what is said of those that stay alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.detection.state import StateError
from sentinel.events.enrichment import Enrichment
from sentinel.events.pairing import DISORDER_MS, MOST_OPEN, Half, Pairing, Passed, Unpaired
from sentinel.events.pairing_settings import PairingSettings
from sentinel.pricing.table import OwnPrice, PricingSettings
from sentinel.privacy.policy import PrivacySettings
from tests.support.telemetry import event, request, response

NOW = 1_760_000_000_000
SETTINGS = PairingSettings(enabled=True, timeout_s=60.0)
ENRICHMENT = Enrichment(PrivacySettings(), PricingSettings(models={"model-a": OwnPrice(1.0, 2.0)}))


def _half(content: dict[str, Any], at_ms: int, key: str = "c", dlq: str | None = None) -> Half:
    return Half(key, at_ms, None, dlq, json.dumps(content))


def _request(at_ms: int = NOW, **data: Any) -> dict[str, Any]:
    content = request(at_ms, "acme", "chat") | {"metadata": {"user_id": "u-1", "environment": "prod", "tags": {"team": "x"}}}
    content["data"] |= {"prompt_tokens": 1_000} | data
    return content


def _answer(at_ms: int, **data: Any) -> dict[str, Any]:
    """As little as an answer may say."""
    return event("llm.response", at_ms, "acme", "chat", {"status": "success", "completion_tokens": 500} | data)


def _on(part: Pairing, *halves: Half, settings: PairingSettings = SETTINGS) -> tuple[list[Passed], list[Unpaired]]:
    return part.on_halves(halves, settings, ENRICHMENT)


def _data(passed: Passed) -> dict[str, Any]:
    found = json.loads(passed.event or "")["data"]
    assert isinstance(found, dict)
    return found


def test_the_answer_gets_what_only_the_request_knew() -> None:
    answer = _answer(NOW + 1_500, cost_source="unknown", cost_reason="the event names no model") | {"metadata": {"environment": "dev"}}
    passed, unpaired = _on(Pairing(), _half(_request(), NOW), _half(answer, NOW + 1_500, dlq="{}"))
    (one,) = passed
    data = _data(one)
    assert (one.key, one.event_ms, one.dlq, unpaired) == ("acme|chat", NOW + 1_500, None, [])
    assert (data["model"], data["prompt_tokens"], data["latency_ms"]) == ("model-a", 1_000, 1_500.0)
    assert (data["cost"], data["cost_source"]) == (0.002, "configuration") and "cost_reason" not in data and "prompt" not in data
    assert json.loads(one.event or "")["metadata"] == {"environment": "dev", "user_id": "u-1", "tags": {"team": "x"}}
    assert data["from_request"] == ["model", "prompt_tokens", "latency_ms", "user_id", "tags"]


def test_an_answer_that_lacks_nothing_stays_as_it_came() -> None:
    answer = response(NOW + 900, "acme", "chat") | {"metadata": {"user_id": "u", "environment": "prod", "tags": {"a": "b"}}}
    half = _half(answer, NOW + 900)
    assert _on(Pairing(), _half(_request(), NOW), half)[0] == [Passed("acme|chat", half.event, NOW + 900, None, None)]


def test_an_error_answers_too() -> None:
    failed = event("llm.error", NOW + 300, "acme", "chat", {"error_type": "timeout"})
    part = Pairing()
    (passed,), _ = _on(part, _half(_request(), NOW), _half(failed, NOW + 300))
    assert (_data(passed)["model"], _data(passed)["latency_ms"]) == ("model-a", 300.0)
    assert part.on_time(NOW + 10**6) == ([], [])


def test_the_prompt_goes_along_where_it_is_wanted() -> None:
    settings = PairingSettings(enabled=True, copy_prompt=True)
    (passed,), _ = _on(Pairing(), _half(_request(), NOW), _half(_answer(NOW, latency_ms=1), NOW), settings=settings)
    assert _data(passed)["prompt"] == "What is the capital of France?"


def test_a_request_without_an_answer_is_said_once_and_not_before_its_time() -> None:
    part = Pairing()
    _on(part, _half(_request(), NOW))
    assert part.next_timer() == NOW + 60_000
    assert part.on_time(NOW + 59_999) == ([], [])
    assert part.on_time(NOW + 60_000) == ([], [Unpaired("acme", "chat", NOW, "unanswered")])
    assert part.on_time(NOW + 120_000) == ([], []) and part.next_timer() is None


def test_an_answer_before_its_request_goes_on_and_the_request_is_not_unanswered() -> None:
    part = Pairing()
    half = _half(_answer(NOW + 800, latency_ms=800), NOW + 800)
    assert _on(part, half)[0] == [Passed("acme|chat", half.event, NOW + 800, None, None)]
    assert _on(part, _half(_request(), NOW)) == ([], [])
    assert part.on_time(NOW + 10**6) == ([], []) and part.next_timer() is None


def test_an_answer_without_latency_waits_for_its_request() -> None:
    part = Pairing()
    assert _on(part, _half(_answer(NOW + 800), NOW + 800, dlq="letter")) == ([], [])
    (passed,), unpaired = _on(part, _half(_request(), NOW))
    assert _data(passed)["latency_ms"] == 800.0 and passed.dlq is None and not unpaired
    assert part.on_time(NOW + 10**6) == ([], [])


def test_an_answer_without_latency_is_a_dead_letter_without_its_request() -> None:
    part = Pairing()
    _on(part, _half(_answer(NOW), NOW, dlq="letter"))
    assert part.on_time(NOW + 60_000) == ([Passed("", None, NOW, None, "letter")], [])


def test_a_latency_below_zero_is_no_latency() -> None:
    early = _half(_answer(NOW - 5), NOW, dlq="letter")
    assert _on(Pairing(), _half(_request(), NOW), early) == ([Passed("", None, NOW, None, "letter")], [])


def test_a_copy_of_an_answered_request_opens_nothing_and_a_repeated_call_does() -> None:
    part = Pairing()
    _on(part, _half(_request(), NOW), _half(_answer(NOW + 100, latency_ms=100), NOW + 100), _half(_request(), NOW))
    assert part.on_time(NOW + 2 * DISORDER_MS) == ([], []) and part.next_timer() is None
    _on(part, _half(_request(), NOW), _half(_answer(NOW + 100, latency_ms=100), NOW + 100), _half(_request(NOW + 200), NOW + 200))
    assert part.on_time(NOW + 10**6)[1] == [Unpaired("acme", "chat", NOW + 200, "unanswered")]


def test_correlation_ids_are_apart() -> None:
    (passed,), _ = _on(Pairing(), _half(_request(), NOW, key="a"), _half(_answer(NOW, latency_ms=1), NOW, key="b"))
    assert "model" not in _data(passed)


def test_a_part_is_bounded_and_says_what_it_did_not_keep() -> None:
    part = Pairing()
    text = json.dumps(_request())
    _, unpaired = part.on_halves([Half(str(number), NOW, None, None, text) for number in range(MOST_OPEN + 3)], SETTINGS, ENRICHMENT)
    assert unpaired == [Unpaired("acme", "chat", NOW, "not_kept")] * 3


@pytest.mark.parametrize("snapshots", [True, False])
def test_what_is_restored_goes_on_as_before(snapshots: bool) -> None:
    """Whether read from a snapshot or from the journal alone."""
    part = Pairing()
    journal: list[bytes] = []
    for key in ("a", "b", "c"):
        _on(part, _half(_request(), NOW, key=key))
        journal.append(part.changes())
    _on(part, _half(_answer(NOW, latency_ms=1), NOW, key="b"), _half(_answer(NOW), NOW, key="d", dlq="letter"))
    journal.append(part.changes())
    part.on_time(NOW + DISORDER_MS)
    journal.append(part.changes())
    restored = Pairing.from_state(part.to_state()) if snapshots else Pairing.from_state(None, journal)
    assert restored.next_timer() == part.next_timer() == NOW + 60_000
    (passed,), _ = _on(restored, _half(_answer(NOW + 40, latency_ms=1), NOW + 40, key="a"))
    assert _data(passed)["model"] == "model-a"
    letters, unanswered = restored.on_time(NOW + 60_000)
    assert [letter.dlq for letter in letters] == ["letter"] and unanswered == [Unpaired("acme", "chat", NOW, "unanswered")]
    with pytest.raises(StateError):
        Pairing.from_state(b"\x92\x07\x80")
