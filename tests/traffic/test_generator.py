"""Generated traffic: the same bytes for a seed, valid by the contract, sized and shaped as asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import orjson
import pytest
import re2

from sentinel.config.load import default_config
from sentinel.contract.telemetry import TelemetryEvent
from services.traffic.attacks import attack_prompt
from services.traffic.bulk import bulk_events, bulk_keys
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.prompts import TEMPLATES, fit_text
from services.traffic.world import build_world, daily_rhythm

START = 1_762_430_400_000  # 2025-11-06T12:00:00Z


def values(settings: TrafficSettings, seconds: float = 20.0) -> list[bytes]:
    return [timed.value() for timed in generate_events(settings, START, duration_s=seconds)]


def test_the_same_seed_and_start_give_the_same_bytes() -> None:
    assert values(TrafficSettings(seed=3)) == values(TrafficSettings(seed=3))
    assert values(TrafficSettings(seed=3)) != values(TrafficSettings(seed=4))


def test_every_event_is_valid_by_the_contract() -> None:
    lines = values(TrafficSettings(rate=300))
    assert len(lines) > 3000
    for line in lines:
        TelemetryEvent.model_validate_json(line, strict=False)
    kinds = Counter(orjson.loads(line)["event_type"] for line in lines)
    assert set(kinds) == {"llm.request", "llm.response", "llm.error"}


def test_each_request_has_one_answer_after_its_latency() -> None:
    calls = defaultdict(list)
    for timed in generate_events(TrafficSettings(), START, duration_s=20):
        assert timed.event is not None
        calls[timed.event["correlation_id"]].append((timed.ts_ms, timed.event))
    for (asked, request), (answered, response) in calls.values():
        assert request["event_type"] == "llm.request"
        assert response["event_type"] in ("llm.response", "llm.error")
        assert answered - asked == round(response["data"]["latency_ms"])
        assert request["metadata"] == response["metadata"]


def test_events_come_in_the_order_of_time_with_distinct_ids() -> None:
    events = list(generate_events(TrafficSettings(), START, duration_s=30))
    assert all(a.ts_ms <= b.ts_ms for a, b in pairwise(events))
    assert len({timed.event["event_id"] for timed in events if timed.event}) == len(events)


def test_exactly_the_number_of_events_asked_for() -> None:
    assert len(list(generate_events(TrafficSettings(), START, events=777))) == 777


def test_the_rate_is_met_and_follows_the_rhythm() -> None:
    flat = len(values(TrafficSettings(rate=500, rhythm=False), 60))
    assert 0.95 * 30_000 < flat < 1.05 * 30_000
    rhythmic = len(values(TrafficSettings(rate=500), 60))
    assert abs(rhythmic - 30_000 * daily_rhythm(START)) < 0.05 * 30_000


def test_the_rhythm_peaks_in_the_afternoon_and_rests_at_the_weekend() -> None:
    monday = 1_762_128_000_000  # 2025-11-03T00:00:00Z
    by_hour = [daily_rhythm(monday + hour * 3_600_000) for hour in range(24)]
    assert int(np.argmax(by_hour)) == 15
    assert int(np.argmin(by_hour)) == 3
    saturday = monday + 5 * 86_400_000
    assert daily_rhythm(saturday) == pytest.approx(0.7 * daily_rhythm(monday))


def test_shares_of_applications_and_users_are_uneven() -> None:
    users: Counter[str] = Counter()
    for timed in generate_events(TrafficSettings(rate=1000), START, duration_s=20):
        assert timed.event is not None
        if timed.event["application_id"] == "support-chat":
            users[timed.event["metadata"]["user_id"]] += 1
    ranked = [name for name, _ in users.most_common()]
    assert ranked[0] == "support-chat-user-001"


@pytest.mark.parametrize("size", [900, 1500])
def test_event_bytes_are_met_exactly(size: int) -> None:
    assert {len(line) for line in values(TrafficSettings(event_bytes=size), 5)} == {size}


def test_text_is_cut_between_characters() -> None:
    assert len(fit_text("äöü", 3).encode()) == 3
    assert len(fit_text("äöü", 100).encode()) == 100


@pytest.mark.parametrize("keys", [1, 3, 10, 1000, 1001])
def test_keys_gives_that_many_keys(keys: int) -> None:
    world = build_world(1, keys=keys)
    assert sum(len(application.models) for application in world.applications) == keys
    assert len(set(bulk_keys(keys))) == keys


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="tenants: expected a count of at least 1, found 0"):
        build_world(1, tenants=0)


def test_bulk_events_are_valid_sized_and_reproducible() -> None:
    first = list(bulk_events(2000, start_ms=START, rate=10_000, keys=50))
    assert first == list(bulk_events(2000, start_ms=START, rate=10_000, keys=50))
    assert {len(value) for _, _, value in first} == {900}
    assert first[-1][0] == START + 199
    calls = defaultdict(set)
    for _, key, value in first:
        event = TelemetryEvent.model_validate_json(value).root
        assert key.decode() == f"{event.tenant_id}|{event.application_id}"
        calls[event.correlation_id].add(event.application_id)
    assert len(calls) == 1000
    assert all(len(applications) == 1 for applications in calls.values())


def test_bulk_outliers_lie_where_they_are_announced() -> None:
    plain = list(bulk_events(100, start_ms=START, rate=1000, mix="responses"))
    marked = list(bulk_events(100, start_ms=START, rate=1000, mix="responses", outlier_every=10))
    changed = [index for index, (a, b) in enumerate(zip(plain, marked, strict=True)) if a != b]
    assert changed == list(range(9, 100, 10))


def test_calm_prompts_match_no_injection_pattern_and_attacks_do() -> None:
    detector = next(d for d in default_config().config.detection.detectors.items if d.id == "prompt-injection-patterns")
    patterns = [re2.compile(p.pattern) for p in detector.config.patterns]  # type: ignore[attr-defined]
    calm = [text for by_language in TEMPLATES.values() for texts in by_language.values() for text in texts]
    assert not [text for text in calm if any(p.search(text) for p in patterns)]
    hits = [any(p.search(attack_prompt(7, index)) for p in patterns) for index in range(30)]
    assert sum(hits) >= 15
