"""Correlation: the last record of every id is a function of the anomalies alone."""

from __future__ import annotations

import random

import msgspec
import pytest

from sentinel.alerting.matching import match
from sentinel.anomaly import Anomaly
from sentinel.config.load import default_config
from sentinel.config.runtime import Correlation, RuntimeConfig
from sentinel.correlation import Correlator
from sentinel.detection.state import StateError
from sentinel.timestamps import to_rfc3339

CONFIG = RuntimeConfig(version=1)
T = 1_800_000_000_000


def anomaly(name: str, at_s: float, detector: str = "latency", score: float = 0.8, severity: str = "warning") -> Anomaly:
    at = to_rfc3339(T + round(at_s * 1000))
    return Anomaly(
        anomaly_id=name,
        timestamp=at,
        detector_id=detector,
        severity=severity,
        score=score,
        tenant_id="t",
        application_id="a",
        description=f"{name} at {at_s}",
        context={"sample_events": [f"{name}-{at_s}"], "window_start": at, "window_end": at},
        first_seen=at,
        last_seen=at,
    )


def final(records: list[Anomaly]) -> dict[str, bytes]:
    return {record.anomaly_id: msgspec.structs.replace(record, update=False).to_json() for record in records}


def play(
    anomalies: list[Anomaly], config: RuntimeConfig = CONFIG, step_ms: int = 300, restart: random.Random | None = None
) -> list[Anomaly]:
    correlator = Correlator.from_state(None, config)
    sent: list[Anomaly] = []
    now = 1_000
    for item in anomalies:
        now += step_ms
        while (timer := correlator.next_timer()) is not None and timer <= now:
            sent += correlator.on_timer(timer)
        sent += correlator.on_anomaly(msgspec.json.decode(item.to_json(), type=Anomaly), now)
        if restart and restart.random() < 0.4:
            correlator = Correlator.from_state(correlator.to_state(), config)
    sent += correlator.on_timer(now + 2_000)
    sent += correlator.on_timer(now + 4_000)
    return sent


def storm() -> list[Anomaly]:
    rng = random.Random(9)
    return [
        anomaly(f"id-{n}", n * 40 + repeat * 10, rng.choice(["latency", "errors", "cost", "tokens", "user"]), round(rng.random(), 3))
        for n in range(30)
        for repeat in range(rng.choice([1, 1, 4]))
    ]


def test_the_first_record_goes_out_at_once_and_repeats_fold_into_paced_updates() -> None:
    correlator = Correlator.from_state(None, CONFIG)
    first = correlator.on_anomaly(anomaly("x", 0), 5_000)
    assert [record.update for record in first] == [False]
    for n in range(1, 6):
        assert correlator.on_anomaly(anomaly("x", n, score=0.8 + n / 100), 5_000 + n) == []
    assert correlator.next_timer() == 6_000
    assert correlator.on_timer(5_500) == []
    (update,) = correlator.on_timer(6_000)
    assert (update.update, update.count, update.score) == (True, 6, 0.85)
    assert update.first_seen == to_rfc3339(T)
    assert update.last_seen == to_rfc3339(T + 5_000)
    assert update.description == "x at 5"
    assert correlator.on_timer(9_000) == []


def test_replayed_occurrences_count_once() -> None:
    run = storm()
    assert final(play(run + run[-10:] + run[-3:])) == final(play(run))


def test_the_final_state_does_not_depend_on_order_or_restarts() -> None:
    run = storm()
    expected = final(play(run))
    for seed in range(8):
        rng = random.Random(seed)
        # Different ids overtake each other within the slack; one id's own occurrences keep their order.
        keys = {item.anomaly_id: rng.uniform(0, 2.5) for item in run}
        mixed = [item for _, item in sorted(enumerate(run), key=lambda pair: (pair[0] + keys[pair[1].anomaly_id] * 4, pair[0]))]
        assert final(play(mixed, step_ms=rng.choice([1, 300, 5_000]), restart=rng)) == expected


def test_relations_are_symmetric_within_the_window_and_name_one_root() -> None:
    records = final(play([anomaly("a", 0), anomaly("b", 500, "errors"), anomaly("c", 700, "cost")]))
    decoded = {name: Anomaly.from_json(line) for name, line in records.items()}
    related = {name: record.context["related_anomalies"] for name, record in decoded.items()}
    assert related == {"a": ["b"], "b": ["a", "c"], "c": ["b"]}
    assert decoded["a"].correlation == decoded["b"].correlation
    assert decoded["b"].correlation["root_anomaly_id"] == "a"
    assert decoded["c"].correlation["root_anomaly_id"] == "b"


def test_agreeing_detectors_raise_score_and_severity() -> None:
    names = ["latency", "errors", "cost", "tokens"]
    decoded = {name: Anomaly.from_json(line) for name, line in final(play([anomaly(n, i, n) for i, n in enumerate(names)])).items()}
    assert all(record.score == pytest.approx(1 - 0.2 * 0.85**3, abs=1e-4) for record in decoded.values())
    assert {record.severity for record in decoded.values()} == {"critical"}
    assert Anomaly.from_json(final(play([anomaly("x", 0)]))["x"]).severity == "warning"


def test_related_anomalies_are_bounded_and_still_symmetric() -> None:
    config = msgspec.structs.replace(CONFIG, correlation=Correlation(max_related=5))
    run = [anomaly(f"n{i:02d}", i * 3) for i in range(40)]
    decoded = {name: Anomaly.from_json(line) for name, line in final(play(run, config)).items()}
    links = {name: set(record.context["related_anomalies"]) for name, record in decoded.items()}
    assert max(map(len, links.values())) <= 5
    assert all(name in links[other] for name, others in links.items() for other in others)
    assert final(play(run[::-1], config)) == final(play(run, config))


def test_old_anomalies_expire_and_a_late_timer_forgets_nothing() -> None:
    correlator = Correlator.from_state(None, CONFIG)
    correlator.on_anomaly(anomaly("x", 0), 1_000)
    correlator.on_anomaly(anomaly("y", 3_000), 2_000)
    correlator.on_timer(4_000)
    assert len(correlator) == 1, "50 minutes later the first one is of no use to anybody"
    resolve = correlator.next_timer()
    assert resolve == 2_000 + 300_000
    assert [record.status for record in correlator.on_timer(resolve)] == ["resolved"]
    idle = correlator.next_timer()
    assert idle is not None
    late = Correlator.from_state(correlator.to_state(), CONFIG)
    late.on_timer(idle + 3_600_000)
    assert len(late) == 1
    correlator.on_timer(idle)
    assert len(correlator) == 0
    assert correlator.next_timer() is None


def test_states_of_other_versions_are_refused_in_words() -> None:
    with pytest.raises(StateError, match="correlation state: state version 7 found"):
        Correlator.from_state(msgspec.msgpack.encode([7]), CONFIG)


def test_an_anomaly_ends_when_it_no_longer_occurs_and_lives_again_when_it_does() -> None:
    correlator = Correlator.from_state(None, CONFIG)
    (first,) = correlator.on_anomaly(anomaly("x", 0), 1_000)
    assert first.status == "active" and "ended_at" not in first.context
    correlator.on_anomaly(anomaly("x", 20), 21_000)
    correlator.on_timer(22_000)
    assert correlator.next_timer() == 321_000, "resolveTimeout after the last occurrence"
    correlator = Correlator.from_state(correlator.to_state(), CONFIG)
    (ended,) = correlator.on_timer(321_000)
    assert (ended.status, ended.context["ended_at"], ended.count) == ("resolved", to_rfc3339(T + 20_000), 2)
    correlator.on_anomaly(anomaly("x", 330), 331_000)
    (again,) = correlator.on_timer(332_000)
    assert (again.status, again.count) == ("active", 3) and "ended_at" not in again.context
    assert [record.status for record in correlator.on_anomaly(anomaly("y", 4_000), 400_000)] == ["resolved", "active"], "left behind"


def test_a_resolved_anomaly_keeps_no_alert_alive() -> None:
    config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
    assert match(anomaly("x", 0), config)
    assert not match(msgspec.structs.replace(anomaly("x", 0), status="resolved"), config)


def test_evidence_covers_the_window_that_occurrences_have_made() -> None:
    correlator = Correlator.from_state(None, CONFIG)
    correlator.on_anomaly(msgspec.structs.replace(anomaly("x", 0), metric="latency_ms", application_id="o'hara"), 1_000)
    correlator.on_anomaly(msgspec.structs.replace(anomaly("x", 90), metric="latency_ms", application_id="o'hara"), 2_000)
    (update,) = correlator.on_timer(3_000)
    assert update.context["evidence_sql"] == (
        "SELECT minute, model, latency_avg_ms, latency_p95_ms, latency_max_ms, calls FROM analytics.metrics_1m WHERE tenant_id = 't' AND "
        "application_id = 'o''hara' AND minute BETWEEN '2027-01-15T07:30:00+00:00' AND '2027-01-15T08:01:30.000Z' ORDER BY minute, model"
    )


def of(name: str, at_s: float, application: str, **changes: object) -> Anomaly:
    trace = changes.pop("trace", None)
    found = msgspec.structs.replace(anomaly(name, at_s), application_id=application, **changes)
    if trace:
        found.context["trace_ids"] = [trace]
    return found


def links(run: list[Anomaly]) -> dict[str, set[str]]:
    return {name: set(Anomaly.from_json(line).context["related_anomalies"]) for name, line in final(play(run)).items()}


USER = {"type": "user", "id": "ann", "name": "ann"}
MODEL = {"type": "model", "id": "gpt-4", "name": "gpt-4"}


@pytest.mark.parametrize(
    ("first", "second", "gap_s", "related"),
    [
        ({}, {}, 5, False),
        ({"metric": "latency_ms"}, {"metric": "latency_ms"}, 5, True),
        ({"metric": "latency_ms"}, {"metric": "latency_ms"}, 90, False),
        ({"metric": "latency_ms"}, {"metric": "error_rate"}, 5, False),
        ({"affected_entity": MODEL}, {"affected_entity": MODEL, "metric": "error_rate"}, 59, True),
        ({"affected_entity": MODEL}, {"affected_entity": MODEL}, 61, False),
        ({"affected_entity": USER}, {"affected_entity": USER}, 500, True),
        ({"affected_entity": USER}, {"affected_entity": USER}, 601, False),
        ({"trace": "t-1"}, {"trace": "t-1"}, 500, True),
        ({"trace": "t-1"}, {"trace": "t-2"}, 5, False),
    ],
)
def test_anomalies_of_two_applications_belong_together_when_they_share_something(
    first: dict[str, object], second: dict[str, object], gap_s: float, related: bool
) -> None:
    run = [of("x", 0, "chat", **dict(first)), of("y", gap_s, "mail", **dict(second))]
    assert links(run) == ({"x": {"y"}, "y": {"x"}} if related else {"x": set(), "y": set()})


def test_the_root_is_the_first_one_whatever_its_application() -> None:
    run = [
        of("cause", 0, "gateway", affected_entity=MODEL, metric="latency_ms"),
        of("follow-1", 20, "chat", metric="latency_ms"),
        of("follow-2", 40, "mail", affected_entity=MODEL, metric="error_rate"),
        of("elsewhere", 41, "batch", metric="cost_per_request"),
    ]
    decoded = {name: Anomaly.from_json(line) for name, line in final(play(run)).items()}
    assert {name for name, record in decoded.items() if record.correlation.get("root_anomaly_id") == "cause"} == {
        "cause", "follow-1", "follow-2",
    }  # fmt: skip
    assert decoded["elsewhere"].correlation == {}


def test_many_applications_in_any_order_end_the_same() -> None:
    rng = random.Random(12)
    run = [
        of(
            f"id-{n}", rng.randint(0, 900), rng.choice(["chat", "mail", "search"]), metric=rng.choice(["", "latency_ms", "error_rate"]),
            affected_entity=rng.choice([USER, MODEL, {}]), trace=rng.choice([None, "t-1", "t-2"]),
        )
        for n in range(40)
    ]  # fmt: skip
    run += [
        of(item.anomaly_id, 910, item.application_id, metric=item.metric, affected_entity=item.affected_entity, trace="t-3")
        for item in run[:9]
    ]
    straight = links(run)
    assert any(links_of for links_of in straight.values())
    assert all(name in straight[other] for name, others in straight.items() for other in others)
    for _ in range(3):
        rng.shuffle(run)
        assert links(run) == straight


def test_a_storm_in_a_tenant_is_worked_off() -> None:
    correlator = Correlator.from_state(None, CONFIG)
    for n in range(600):
        correlator.on_anomaly(of(f"id-{n:03d}", n / 10, f"app-{n % 30}", metric="latency_ms"), 1_000 + n)
    updates = correlator.on_timer(10_000)
    # The last one was complete when it was sent.
    assert len(updates) == 599 and max(len(update.context["related_anomalies"]) for update in updates) <= 50
