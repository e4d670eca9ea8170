"""Replays, restarts, late timers and stored state change nothing that was or will be said."""

from __future__ import annotations

from itertools import pairwise

from alerting_simulation import T0, S, Script, Simulation, alerts, anomaly, config, definition, last_of_each, route, run, told
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.records import AlertRecord, NotificationRecord, Output
from sentinel.anomaly import Anomaly

CONFIG = config(
    definition(max_frequency_s=100.0),
    routes=(
        route("pager", wait=0, interval=20, repeat=90, go_on=True, severity="critical"),
        route("chat", wait=15, interval=30, repeat=70),
    ),
    resolve_timeout_s=50.0,
)


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[float, Anomaly]]:
    """Anomalies of one key: first records and updates whose count and last_seen never fall."""
    steps, now, counts = [], 0.0, dict[str, int]()
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.sampled_from([0, 0.5, 1, 7, 20, 30, 45, 60, 130]))
        name = draw(st.sampled_from("abcde"))
        counts[name] = counts.get(name, 0) + draw(st.integers(1, 3))
        severity = "critical" if name in "ab" else "warning"
        steps.append((now, anomaly(name, severity, last=now, count=counts[name], model=name if name in "cd" else "")))
    return steps


def as_bytes(outputs: list[Output]) -> list[bytes]:
    return [output.to_json() for output in outputs]


@given(scripts())
@settings(max_examples=150, deadline=None)
def test_state_survives_bytes_at_every_step(script: Script) -> None:
    assert as_bytes(run(CONFIG, script, store=True)) == as_bytes(run(CONFIG, script, store=False))


@given(scripts(), st.sampled_from([0.1, 3.0, 25.0, 200.0]))
@settings(max_examples=150, deadline=None)
def test_late_timers_make_the_same_bytes(script: Script, late: float) -> None:
    assert as_bytes(run(CONFIG, script, late=late, until=20_000)) == as_bytes(run(CONFIG, script, until=20_000))


@given(scripts(), st.data())
@settings(max_examples=150, deadline=None)
def test_records_that_come_again_change_nothing(script: Script, data: st.DataObject) -> None:
    again: list[tuple[float, Anomaly]] = []
    for number, step in enumerate(script):
        again.append(step)
        again += [(step[0], script[data.draw(st.integers(0, number))][1])]
    assert as_bytes(run(CONFIG, again)) == as_bytes(run(CONFIG, script))


@given(scripts())
@settings(max_examples=100, deadline=None)
def test_ids_are_unique_and_resolved_follows_firing(script: Script) -> None:
    outputs = run(CONFIG, script)
    messages = [output for output in outputs if isinstance(output, NotificationRecord)]
    assert len({message.notification_id for message in messages}) == len(messages)
    for receiver in ("pager", "chat"):
        status = [message.status for message in messages if message.receiver == receiver]
        assert not any(before == after == "resolved" for before, after in pairwise(status))
        assert status[:1] in ([], ["firing"])
        assert status[-1:] in ([], ["resolved"])
    assert all(record.status == "resolved" for record in last_of_each(outputs).values())
    total = {step.anomaly_id: step.count for _, step in script}
    assert sum(record.count for record in last_of_each(outputs).values()) == sum(total.values())


@given(scripts(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_simultaneous_records_leaves_the_alert_the_same(script: Script, random: object) -> None:
    together = [(0.0, record) for _, record in script]
    shuffled = list(together)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def row(outputs: list[Output]) -> list[tuple[object, ...]]:
        return [
            (r.alert_id, r.labels, r.severity, r.count, r.starts_at, r.last_seen, sorted(r.anomaly_ids))
            for r in last_of_each(outputs).values()
        ]

    settings_ = config(wait=15)
    assert row(run(settings_, shuffled)) == row(run(settings_, together))


def test_a_replayed_timer_repeats_id_and_bytes_however_late() -> None:
    settings_ = config(wait=30)
    (key,) = match(anomaly(), settings_)
    group = AlertGroup.from_state(key, None, settings_)
    group.on_anomaly(anomaly(), T0)
    stored = group.to_state()
    on_time = AlertGroup.from_state(key, stored, settings_).on_timer(T0 + 30 * S)
    late = AlertGroup.from_state(key, stored, settings_).on_timer(T0 + 47_123)
    assert as_bytes(on_time) == as_bytes(late)
    assert told(on_time) == [(30, "ops", "firing", "warning")]


def test_a_second_call_of_the_same_timer_says_nothing() -> None:
    simulation = Simulation(config(wait=30), match(anomaly(), config())[0])
    simulation.run([(0, anomaly())], until=30)
    assert simulation.group.on_timer(T0 + 30 * S) == []


def test_counts_are_those_of_the_latest_record_never_sums() -> None:
    script = [
        (0, anomaly(count=1)),
        (1, anomaly(count=4, last=1)),
        (2, anomaly(count=4, last=1)),
        (3, anomaly(count=2, last=0.5)),
        (4, anomaly("b", count=3)),
    ]
    assert [record.count for record in alerts(run(config(), script, until=5))] == [1, 4, 7]


def test_a_replay_does_not_keep_an_alert_alive() -> None:
    outputs = run(config(), [(0, anomaly()), (299, anomaly())], until=300)
    assert alerts(outputs)[-1].status == "resolved"
    assert [type(output) for output in run(config(), [(0, anomaly()), (400, anomaly())], until=500)] == [type(output) for output in outputs]


def test_silence_is_claimed_only_for_time_in_which_the_worker_ran() -> None:
    simulation = Simulation(config(repeat=60), match(anomaly(), config())[0])
    simulation.run([(0, anomaly())], until=10)
    restarted_at = T0 + 1_000 * S
    group = AlertGroup.from_state(simulation.key, simulation.group.to_state(), config(repeat=60), running_since_ms=restarted_at)
    missed = group.on_timer(restarted_at)
    assert told(missed) == [(960, "ops", "firing", "warning")], "missed repeats are told once"
    group = AlertGroup.from_state(simulation.key, group.to_state(), config(repeat=60), running_since_ms=restarted_at)
    assert not any(isinstance(o, AlertRecord) for o in group.on_timer(restarted_at + 299 * S))
    assert [o.status for o in group.on_timer(restarted_at + 300 * S) if isinstance(o, AlertRecord)] == ["resolved"]
