"""Injected trouble changes what it says, as much as it says, only where it says; the truth file tells exactly that."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.contract.telemetry import TelemetryEvent
from services.demo.scenario import load_scenario
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.injection import Injector
from services.traffic.plan import PlanError, load_plan, parse_plan
from services.traffic.timed import TimedEvent
from services.traffic.truth import Truth, read_truth, write_truth

START = 1_762_430_400_000
TENANT, APPLICATION = "acme-corp", "support-chat"
SETTINGS = TrafficSettings(rate=200, rhythm=False)
ALONE = TrafficSettings(rate=200, tenants=1, applications=1, rhythm=False)


def injected(kind: str, settings: TrafficSettings = SETTINGS, **extra: Any) -> tuple[list[TimedEvent], list[TimedEvent], Truth]:
    """(calm events, events with the trouble, truth) of 60 s with trouble from second 20 to 40."""
    calm = list(generate_events(settings, START, duration_s=60))
    plan = parse_plan(
        {"injections": [{"kind": kind, "at": 20, "duration": 20, "tenant": TENANT, "application": APPLICATION, **extra}]}, "test"
    )
    injector = Injector(plan, START)
    return calm, list(injector.apply(iter(calm))), injector.truth[0]


def inside(timed: TimedEvent) -> bool:
    event = timed.event
    assert event is not None
    place = (event["tenant_id"], event["application_id"]) == (TENANT, APPLICATION)
    return place and START + 20_000 <= timed.ts_ms < START + 40_000


def by_id(events: list[TimedEvent]) -> dict[str, dict[str, Any]]:
    return {timed.event["event_id"]: timed.event for timed in events if timed.event is not None}


@pytest.mark.parametrize(
    ("kind", "field", "factor"),
    [("latency_spike", "latency_ms", 3.0), ("cost_runaway", "cost", 4.0), ("token_explosion", "total_tokens", 4.0)],
)
def test_a_factor_multiplies_its_field_and_nothing_else(kind: str, field: str, factor: float) -> None:
    calm, troubled, truth = injected(kind, factor=factor)
    before, after = by_id(calm), by_id(troubled)
    assert before.keys() == after.keys()
    touched = {name for name in before if before[name] != after[name]}
    assert len(touched) == truth.events_touched > 20
    assert touched <= {timed.event["event_id"] for timed in calm if timed.event and inside(timed)}
    for name in touched:
        if field in before[name]["data"]:
            assert after[name]["data"][field] == pytest.approx(before[name]["data"][field] * factor, rel=1e-3)
    if kind == "token_explosion":
        data = next(after[name]["data"] for name in touched if "completion_tokens" in after[name]["data"])
        assert data["total_tokens"] == data["prompt_tokens"] + data["completion_tokens"]


def test_an_error_burst_fails_the_share_of_calls() -> None:
    calm, troubled, truth = injected("error_burst", ALONE, share=0.2)
    good = [t for t in calm if inside(t) and t.event and t.event["data"].get("status") == "success"]
    after = by_id(troubled)
    failed = [t for t in good if t.event and after[t.event["event_id"]]["data"].get("status") != "success"]
    assert len(failed) == truth.events_touched
    assert 0.17 < len(failed) / len(good) < 0.23
    kinds = {after[t.event["event_id"]]["event_type"] for t in failed if t.event}
    assert kinds == {"llm.response", "llm.error"}


def test_a_wave_adds_the_number_of_prompts_with_answers() -> None:
    calm, troubled, truth = injected("prompt_injection_wave", prompts=30)
    known = by_id(calm)
    added = [t for t in troubled if t.event and t.event["event_id"] not in known]
    prompts = [t for t in added if t.event and t.event["event_type"] == "llm.request"]
    assert len(prompts) == 30
    assert len(added) == truth.events_touched == 60
    assert all(inside(t) for t in prompts)
    assert len({t.event["data"]["prompt"] for t in prompts if t.event}) > 20


def test_misuse_multiplies_the_rate_of_one_user() -> None:
    calm, troubled, truth = injected("user_misuse", ALONE, factor=15)
    assert truth.user_id == "support-chat-user-001"

    def requests(events: list[TimedEvent]) -> int:
        return sum(
            1
            for t in events
            if inside(t) and t.event and t.event["event_type"] == "llm.request" and t.event["metadata"]["user_id"] == truth.user_id
        )

    assert requests(troubled) == 15 * requests(calm)
    assert len(troubled) - len(calm) == truth.events_touched
    assert len(by_id(troubled)) == len(troubled), "copies have ids of their own"
    assert [t for t in troubled if t.event and t.event["metadata"]["user_id"] != truth.user_id] == [
        t for t in calm if t.event and t.event["metadata"]["user_id"] != truth.user_id
    ]


def test_misuse_of_a_trace_without_requests_copies_its_answers() -> None:
    calm = [t for t in generate_events(SETTINGS, START, duration_s=60) if t.event and t.event["event_type"] == "llm.response"]
    plan = parse_plan(
        {"injections": [{"kind": "user_misuse", "at": 20, "duration": 20, "tenant": TENANT, "application": APPLICATION, "factor": 3}]},
        "test",
    )
    injector = Injector(plan, START)
    troubled = list(injector.apply(iter(calm)))
    user = injector.truth[0].user_id
    before = sum(1 for t in calm if inside(t) and t.event and t.event["metadata"]["user_id"] == user)
    assert len(troubled) - len(calm) == 2 * before > 0


def test_silence_drops_every_event_of_the_place() -> None:
    calm, troubled, truth = injected("silence")
    assert not [t for t in troubled if inside(t)]
    assert len(calm) - len(troubled) == truth.events_touched > 50


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "error_burst", "share": 0.5},
        {"kind": "prompt_injection_wave", "prompts": 5},
        {"kind": "user_misuse", "factor": 2.5},
    ],
)
def test_the_result_is_valid_ordered_and_reproducible(trouble: dict[str, Any]) -> None:
    _, first, _ = injected(**trouble)
    _, second, _ = injected(**trouble)
    assert [t.value() for t in first] == [t.value() for t in second]
    assert all(a.ts_ms <= b.ts_ms for a, b in pairwise(first))
    for timed in first:
        TelemetryEvent.model_validate(timed.event)


def test_the_truth_file_holds_times_size_and_count(tmp_path: Path) -> None:
    _, _, truth = injected("latency_spike", factor=3, user="support-chat-user-001")
    write_truth([truth], tmp_path / "truth.jsonl")
    record = orjson.loads((tmp_path / "truth.jsonl").read_bytes())
    assert record == {
        "kind": "latency_spike",
        "tenant_id": TENANT,
        "application_id": APPLICATION,
        "user_id": "support-chat-user-001",
        "start": "2025-11-06T12:00:20.000Z",
        "end": "2025-11-06T12:00:40.000Z",
        "size": {"factor": 3.0},
        "events_touched": truth.events_touched,
    }
    assert read_truth(tmp_path / "truth.jsonl") == [truth]


def test_plan_errors_name_place_value_and_the_nearest_name(tmp_path: Path) -> None:
    place = {"at": 1, "duration": 2, "tenant": "a", "application": "b"}
    cases = {
        "plan: injections[0].factr = 3: unknown key; expected one of at, duration,": [{"kind": "latency_spike", "factr": 3, **place}],
        "user, kind, factor; did you mean factor?": [{"kind": "latency_spike", "factr": 3, **place}],
        "did you mean silence?": [{"kind": "silenc", **place}],
        "injections[0].share: Input should be less than or equal to 1, found 2": [{"kind": "error_burst", "share": 2, **place}],
        "injections[0].factor: Field required, found nothing": [{"kind": "cost_runaway", **place}],
    }
    for message, injections in cases.items():
        with pytest.raises(PlanError) as error:
            parse_plan({"injections": injections}, "plan")
        assert message in str(error.value)
    with pytest.raises(PlanError, match="cannot read the injection plan"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(PlanError, match="expected a mapping"):
        load_plan(tmp_path / "list.yaml")


def test_the_demonstrations_plan_has_every_kind_in_applications_of_its_traffic() -> None:
    scenario = load_scenario()
    known = set(scenario.traffic.world().known_applications())
    assert len(known) >= 10
    places = [f"{item.tenant}/{item.application}" for item in scenario.plan.injections]
    assert set(places) <= known
    assert len(set(places)) == len(places) == 7
    assert {item.kind: (item.size(), item.duration) for item in scenario.plan.injections} == {
        "latency_spike": ({"factor": 3.0}, 60),
        "error_burst": ({"share": 0.2}, 60),
        "cost_runaway": ({"factor": 4.0}, 60),
        "token_explosion": ({"factor": 4.0}, 60),
        "prompt_injection_wave": ({"prompts": 30.0}, 60),
        "user_misuse": ({"factor": 15.0}, 60),
        "silence": ({}, 60),
    }
