"""Rules with memory, from events as producers write them to the anomaly: sequences, aggregates, composites."""

from __future__ import annotations

import random
from typing import Any

import pytest
from rule_harness import START_MS, Job, event, event_name, record, rule, runtime, seconds

from sentinel.detection.engine import ShardEngine
from sentinel.detection.rules.sequence import Match, Pattern, SequenceState

FAILED = {"type": "llm.error"}
ASKED = {"type": "llm.request"}


def job(*detectors: dict[str, Any]) -> Job:
    return Job(runtime(list(detectors)))


# -- sequences ----------------------------------------------------------------------------------------------------------------


def cep(sequence: list[Any], within: str = "30s", **more: Any) -> dict[str, Any]:
    events = {"failed": FAILED, "asked": ASKED, "answered": {"type": "llm.response", "status": "success"}}
    return rule("seq", "cep", events=events, sequence=sequence, within=within, **more)


def test_one_event_then_another_within_a_time() -> None:
    run = job(cep(["failed", "asked"]))
    run.send(event(0, "llm.error"), event(5, "llm.response"), event(20.5, "llm.request"))
    run.close(60)
    (found,) = run.of("seq")
    assert seconds([found]) == [20.5]
    assert found.severity == "critical" and found.detector_type == "rule"
    assert found.context["sample_events"] == [event_name(0), event_name(2)]
    assert found.description == "Failed, then asked within 30 s; it took 20.5 s (chat)"
    assert record(found)["context"]["window_start"] == "2027-01-15T08:00:00.000Z"


def test_too_late_and_in_the_wrong_order_is_nothing() -> None:
    run = job(cep(["failed", "asked"]))
    run.send(event(0, "llm.request"), event(1, "llm.error"), event(31.5, "llm.request"))
    run.close(60)
    assert run.of("seq") == []


def test_an_older_start_does_not_hide_a_younger_one() -> None:
    run = job(cep(["failed", "asked"]))
    run.send(event(0, "llm.error"), event(20, "llm.error"), event(35, "llm.request"))
    run.close(60)
    assert seconds(run.of("seq")) == [35]


@pytest.mark.parametrize(("count", "spacing", "fires"), [(5, 2.0, True), (4, 2.0, False), (5, 8.0, False)])
def test_repetition_within_a_time(count: int, spacing: float, fires: bool) -> None:
    run = job(cep([{"event": "failed", "times": 5}], within="10s"))
    run.send(*[event(number * spacing, "llm.error") for number in range(count)])
    run.close(100)
    assert bool(run.of("seq")) is fires


def test_absence_is_said_when_its_time_is_over_and_only_then() -> None:
    run = job(cep(["asked", {"event": "answered", "absent": True}], within="10s", by="user"))
    run.send(event(0, "llm.request", user="ann"), event(1, "llm.request", user="bob"), event(4, "llm.response", user="bob"))
    run.close(10)
    assert run.of("seq") == []
    run.close(11)
    (found,) = run.of("seq")
    assert found.user_id == "ann" and seconds([found]) == [10]
    assert found.affected_entity == {"type": "user", "id": "ann", "name": "ann"}
    assert "asked, then no answered within 10 s".lower() in found.description.lower()


def test_a_heartbeat_that_stops_is_found_though_nothing_comes_any_more() -> None:
    run = job(cep(["answered", {"event": "answered", "absent": True}], within="10s"))
    run.send(*[event(number * 5.0) for number in range(4)])
    run.close(24)
    assert run.of("seq") == []
    run.close(26)
    assert seconds(run.of("seq")) == [25]


def test_what_must_not_come_in_between_ends_the_sequence() -> None:
    between = cep(["failed", {"event": "answered", "absent": True}, "asked"])
    run = job(between)
    run.send(event(0, "llm.error"), event(2), event(3, "llm.request"))
    run.close(60)
    assert run.of("seq") == []
    run = job(between)
    run.send(event(0, "llm.error"), event(3, "llm.request"))
    run.close(60)
    assert len(run.of("seq")) == 1


def test_keys_do_not_mix_and_events_without_one_count_for_none() -> None:
    run = job(cep(["failed", "asked"], by="session"))
    run.send(
        event(0, "llm.error", session="a"), event(1, "llm.request", session="b"), event(2, "llm.error"), event(3, "llm.request"),
        event(4, "llm.request", session="a"),
    )  # fmt: skip
    run.close(60)
    (found,) = run.of("seq")
    assert seconds([found]) == [4] and found.labels["key"] == "session a"


def test_order_of_arrival_and_cuts_of_batches_do_not_show() -> None:
    detectors = [cep(["failed", {"event": "asked", "times": 3}], within="20s", by="user"), aggregation(by="user", function="min")]
    rng = random.Random(4)
    kinds = ["llm.error", "llm.request", "llm.response"]
    events = [event(rng.uniform(0, 50), rng.choice(kinds), user=rng.choice("abc"), latency_ms=rng.uniform(50, 900)) for _ in range(300)]
    events = [(at, {**content, "event_id": f"00000000-0000-4000-8000-{number:012d}"}) for number, (at, content) in enumerate(events)]

    def found(shuffled: list[Any], cuts: int) -> list[bytes]:
        run = job(*detectors)
        size = -(-len(shuffled) // cuts)
        for cut in range(cuts):
            run.send(*shuffled[cut * size : (cut + 1) * size])
        run.close(100)
        return sorted(
            b"|".join((a.detector_id.encode(), a.timestamp.encode(), a.user_id.encode(), a.anomaly_id.encode())) for a in run.found
        )

    straight = found(sorted(events, key=lambda item: item[0]), 1)
    assert len(straight) > 5
    for cuts in (1, 3, 10):
        rng.shuffle(events)
        assert found(events, cuts) == straight


def test_a_rule_that_matches_everything_is_folded_and_still_counts() -> None:
    run = job(cep([{"event": "answered", "times": 900}], within="10s"))
    run.send(*[event(0.001 * number) for number in range(1000)])
    assert len(run.facts) < 50, "most matches of a second travel as one"
    run.close(60)
    assert len(run.of("seq")) == 1


def naive(steps: list[tuple[int, int, bool]], within: int, events: list[tuple[int, int]]) -> bool:
    """Whether any choice of events completes the sequence (no absence), by trying all."""
    places = [bit for bit, times, _ in steps for _ in range(times)]

    def search(place: int, begin: int, first: int) -> bool:
        if place == len(places):
            return True
        return any(
            events[at][1] >> places[place] & 1
            and (place == 0 or events[at][0] - first <= within)
            and search(place + 1, at + 1, events[at][0] if place == 0 else first)
            for at in range(begin, len(events))
        )

    return search(0, 0, 0)


def test_bounded_state_decides_as_trying_everything_does() -> None:
    rng = random.Random(9)
    decided = set()
    for _ in range(400):
        steps = [(rng.randrange(3), rng.randint(1, 2), False) for _ in range(rng.randint(1, 3))]
        if sum(times for _, times, _ in steps) < 2:
            continue
        times = sorted(rng.randint(0, 60) for _ in range(rng.randint(2, 12)))
        events = [(time, rng.randrange(8)) for time in times]
        pattern, state = Pattern(steps, 15), SequenceState()
        first: Match | None = None
        for number, (time, mask) in enumerate(events):
            first = state.feed(pattern, mask, time, str(time))
            assert (first is not None) == naive(steps, 15, events[: number + 1]), (steps, events[: number + 1])
            if first is not None:
                break
        decided.add(first is not None)
    assert decided == {True, False}


# -- aggregates ---------------------------------------------------------------------------------------------------------------


def aggregation(**config: Any) -> dict[str, Any]:
    return rule("agg", "aggregation", **{"metric": "latency_ms", "function": "avg", "window": "10s", "value": 500, **config})


@pytest.mark.parametrize(
    ("config", "observed"),
    [
        ({"function": "avg"}, 550.0),
        ({"function": "sum"}, 5500.0),
        ({"function": "max"}, 1000.0),
        ({"function": "min", "value": 50}, 100.0),
        ({"function": "count", "value": 9}, 10.0),
        ({"function": "count", "metric": None, "value": 9}, 10.0),
        ({"function": "percentile", "percentile": 80}, pytest.approx(800.0, rel=0.02)),
        ({"function": "avg", "where": {"metric": "latency_ms", "condition": ">", "value": 800}}, 950.0),
        ({"function": "count", "metric": None, "value": 1, "where": {"any": [{"model": "m-*"}, {"status": "timeout"}]}}, 4.0),
        ({"function": None, "metric": "calls_per_second", "value": 0.9}, 1.0),
        ({"function": None, "metric": "latency_p95_ms", "value": 0.9}, pytest.approx(1000.0, rel=0.02)),
        ({"function": "sum", "metric": "total_tokens", "value": 10}, 55.0),
        ({"function": "max", "metric": "prompt_tokens", "value": 10}, 20.0),
        ({"function": "sum", "metric": "is_error", "value": 1}, 2.0),
    ],
)
def test_functions_over_a_window(config: dict[str, Any], observed: Any) -> None:
    run = job(aggregation(**{**config, "condition": ">=", "repeat": "1s"}))
    run.send(
        *[
            event(
                n - 0.9,
                latency_ms=n * 100.0,
                total_tokens=n,
                prompt_tokens=2 * n,
                model="m-1" if n in (2, 4) else "m",
                status="timeout" if n in (6, 8) else "success",
            )
            for n in range(1, 11)
        ]
    )
    run.close(10.5)
    last = run.of("agg")[-1]
    assert last.metrics["observed_value"] == observed
    assert last.context["sample_events"] and set(last.context["sample_events"]) <= {event_name(n) for n in range(10)}


def test_the_window_slides_and_the_limit_is_said() -> None:
    run = job(aggregation(minimumEvents=3, repeat="1s"))
    run.send(*[event(number, latency_ms=100.0) for number in range(20)], *[event(20 + number, latency_ms=2000.0) for number in range(5)])
    run.send(*[event(25 + number, latency_ms=100.0) for number in range(30)])
    run.close(100)
    at = seconds(run.of("agg"))
    assert (at[0], at[-1]) == (23, 32)
    assert "avg of latency_ms over 10 s was" in run.of("agg")[0].description.lower()
    assert "fires at > 500 ms" in run.of("agg")[0].description
    assert run.of("agg")[0].metrics["threshold"] == 500


def test_consecutive_judgements_lie_apart() -> None:
    run = job(aggregation(consecutive=3, every="5s", window="5s"))
    run.send(*[event(number, latency_ms=2000.0) for number in range(5)], *[event(5 + number, latency_ms=1.0) for number in range(8)])
    run.close(100)
    assert run.of("agg") == []
    run = job(aggregation(consecutive=3, every="5s", window="5s"))
    run.send(*[event(number, latency_ms=2000.0) for number in range(20)])
    run.close(100)
    assert seconds(run.of("agg"))[0] == 11


def test_each_user_has_a_window_of_his_own() -> None:
    run = job(aggregation(function="count", metric=None, value=5, by="user"))
    run.send(*[event(n * 0.5, user=f"u{n % 4}") for n in range(16)], *[event(1 + n * 0.1, user="ann") for n in range(8)])
    run.close(60)
    assert {anomaly.user_id for anomaly in run.of("agg")} == {"ann"}


def test_a_model_is_judged_for_itself_from_panes() -> None:
    run = job(aggregation(by="model"))
    run.send(*[event(n * 0.5, model="slow" if n % 2 else "fast", latency_ms=900.0 if n % 2 else 10.0) for n in range(16)])
    assert run.facts == [], "panes tell enough: the hop has nothing to do"
    run.close(60)
    assert {(anomaly.model, anomaly.affected_entity["type"]) for anomaly in run.of("agg")} == {("slow", "model")}


def test_scope_holds_for_facts() -> None:
    scoped = aggregation(function="min", value=50) | {"scope": {"applications": ["mail"], "models": ["m"]}}
    run = job(scoped)
    run.send(event(0), event(0, application="mail"), event(1, application="mail", model="other", latency_ms=1.0))
    run.close(60)
    assert {(a.application_id, a.metrics["observed_value"]) for a in run.of("agg")} == {("mail", 100.0)}


# -- composites ---------------------------------------------------------------------------------------------------------------


def composite(**config: Any) -> dict[str, Any]:
    return rule("both", "composite", **config)


SLOW = {"metric": "latency_ms", "window": "5s", "value": 500}
ERRORS = {"function": "count", "where": FAILED, "window": "5s", "value": 2}


def test_and_needs_both_and_or_one() -> None:
    slow = [event(n, latency_ms=900.0) for n in range(5)]
    errors = [event(n + 0.5, "llm.error") for n in range(5)]
    for parts, fires in ((slow, (False, True)), (errors, (False, True)), (slow + errors, (True, True))):
        for kind, fired in zip(("all", "any"), fires, strict=True):
            run = job(composite(**{kind: [SLOW, ERRORS]}))
            run.send(*parts)
            run.close(60)
            assert bool(run.of("both")) is fired, (kind, len(parts))
    (first, *_) = run.of("both")
    assert "latency_ms over 5 s is 900 ms (limit > 500 ms) or count of events" in first.description


def test_not_holds_where_nothing_came() -> None:
    run = job(composite(all=[SLOW, {"not": {"function": "count", "where": FAILED, "window": "5s", "condition": ">", "value": 0}}]))
    run.send(*[event(n, latency_ms=900.0) for n in range(3)], event(3, "llm.error"), *[event(n, latency_ms=900.0) for n in range(4, 8)])
    run.close(60)
    assert seconds(run.of("both")) == [1]


def test_sequence_of_conditions_wants_their_order() -> None:
    config = composite(sequence=[SLOW, ERRORS], within="20s")
    slow, errors = [event(n, latency_ms=900.0) for n in range(5)], [event(n + 10, "llm.error") for n in range(5)]
    run = job(config)
    run.send(*slow, *errors)
    run.close(60)
    assert seconds(run.of("both")) == [13]
    run = job(config)
    run.send(*[event(n, "llm.error") for n in range(5)], *[event(n + 10, latency_ms=900.0) for n in range(5)])
    run.close(60)
    assert run.of("both") == []


def test_a_composite_builds_on_other_detectors_of_events_and_of_panes() -> None:
    attack = rule("attack", "pattern", patterns=["drop table"])
    limit = rule("p95", "threshold", metric="latency_ms", value=500, window="5s")
    run = job(composite(all=[{"detector": "attack", "within": "1m"}, {"detector": "p95", "within": "10s"}]), attack, limit)
    run.send(event(0, "llm.request", prompt="please DROP, er, drop table users"), event(1), event(2))
    run.close(10)
    assert run.of("attack") and not run.of("both")
    run.send(*[event(20 + n, latency_ms=900.0) for n in range(3)])
    run.close(60)
    assert run.of("both") and "attack found something within 60 s" in run.of("both")[0].description
    assert run.of("both")[0].context["sample_events"][0] == event_name(0)


# -- running ------------------------------------------------------------------------------------------------------------------


def test_rules_change_while_running_and_unchanged_ones_keep_their_windows() -> None:
    run = job(aggregation(window="60s", minimumEvents=5), cep(["failed", "asked"]))
    run.send(*[event(n, latency_ms=900.0) for n in range(3)], event(3, "llm.error"))
    run.close(5)
    changed = runtime([aggregation(window="60s", minimumEvents=5), cep(["asked", "failed"])], version=2)
    run.config = changed
    run.engine.apply_config(changed)
    run.rules = type(run.rules)(changed, run.failures)
    run.send(event(6, latency_ms=900.0), event(7, latency_ms=900.0), event(8, "llm.request"), event(9, "llm.error"))
    run.close(60)
    assert seconds(run.of("agg"))[0] == 8, "the window of before the change counts on"
    assert seconds(run.of("seq")) == [9], "the changed rule begins afresh, in its new order"
    assert {anomaly.config_version for anomaly in run.found} == {2}


def test_nothing_is_made_when_no_rule_needs_it() -> None:
    run = job(aggregation(), rule("limit", "threshold", metric="latency_ms", value=1))
    run.send(event(0))
    assert run.facts == []


def test_keys_of_a_rule_are_bounded() -> None:
    run = job(cep(["failed", "asked"], by="user"))
    for begin in range(0, 5000, 1000):
        run.send(*[event(begin / 1000, "llm.error", user=f"u{begin + n}") for n in range(1000)])
        run.close(begin / 1000 + 1)
    assert len(run.engine.to_state()) < 400_000
    run.close(120)
    run.send(event(130))
    run.close(200)
    assert len(ShardEngine.from_state(run.engine.to_state(), run.config).to_state()) < 5_000
    assert START_MS


def test_facts_of_rules_that_have_gone_hold_nobody_up() -> None:
    """A worker of the hop may still speak for a rule when the operator no longer has it."""
    run = job(cep(["failed", "answered"]))
    run.config = runtime([], version=2)
    run.engine.apply_config(run.config)
    run.send(event(0.0, "llm.error"), event(0.5))
    assert run.facts
    run.close(5.0)
    assert run.of("seq") == [] and run.engine.next_timer() is None


def test_a_timer_that_does_not_move_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = job({"id": "silent", "type": "rule", "strategy": "silence", "config": {"minimum": "20s"}})
    run.send(event(0.0))
    run.engine.on_time(START_MS + 2_000)
    monkeypatch.setattr("sentinel.detection.detectors.silence.SilenceDetector.next_timer", lambda _: START_MS)
    run.send(event(3.0))
    run.engine.on_time(START_MS + 10_000)
    assert (run.engine.next_timer() or 0) > START_MS + 10_000
