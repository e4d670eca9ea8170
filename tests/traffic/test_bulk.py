"""Events for load runs: a history that belongs to what follows it."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import median

import pytest

from services.traffic.bulk import bulk_events

START_MS = 1_767_225_600_000


def drawn(seed: int, keys_seed: int | None = None) -> tuple[set[str], dict[str, float]]:
    """Ids of the events, and the median latency of each key."""
    ids, latencies = set(), defaultdict(list)
    for _, _, value in bulk_events(8_000, seed=seed, keys_seed=keys_seed, keys=8, start_ms=START_MS, rate=1_000, mix="responses"):
        event = json.loads(value)
        ids.add(event["event_id"])
        latencies[f"{event['application_id']}|{event['data']['model']}"].append(event["data"]["latency_ms"])
    return ids, {key: median(values) for key, values in latencies.items()}


def test_another_seed_with_the_same_keys_gives_other_events_around_the_same_medians() -> None:
    ids, medians = drawn(4)
    history_ids, history_medians = drawn(3, keys_seed=4)
    assert len(ids) == len(history_ids) == 8_000 and not ids & history_ids
    assert all(abs(history_medians[key] / value - 1) < 0.1 for key, value in medians.items())


def test_another_seed_alone_gives_other_medians() -> None:
    _, medians = drawn(4)
    _, others = drawn(3)
    assert any(abs(others[key] / value - 1) > 0.2 for key, value in medians.items())


@pytest.mark.parametrize("at_once", [2, 500, 20_000])
def test_calls_are_whole_however_many_events_are_drawn_at_once(at_once: int) -> None:
    events = [json.loads(value) for _, _, value in bulk_events(1_002, keys=8, start_ms=START_MS, rate=1_000, at_once=at_once)]
    assert len({event["event_id"] for event in events}) == 1_002
    for request, answer in zip(events[::2], events[1::2], strict=True):
        assert (request["event_type"], answer["event_type"]) == ("llm.request", "llm.response")
        assert all(request[name] == answer[name] for name in ("tenant_id", "application_id", "correlation_id"))
        assert request["data"]["model"] == answer["data"]["model"]


@pytest.mark.parametrize("at_once", [0, -2, 501])
def test_numbers_that_would_cut_a_call_in_two_are_refused(at_once: int) -> None:
    with pytest.raises(ValueError, match=f"at_once: expected .*found {at_once}"):
        next(bulk_events(10, start_ms=0, rate=1, at_once=at_once))
