"""group_wait, group_interval, repeat_interval, max_frequency, resolve and escalation, to the second."""

from __future__ import annotations

import pytest
from alerting_simulation import Simulation, alerts, anomaly, at, config, decisions, definition, last_of_each, notes, route, run, told

from sentinel.alerting.matching import match
from sentinel.alerting.records import NotificationRecord
from sentinel.config.runtime import FlapDamping, Matcher, Receiver, SuppressionRule

WARN, CRIT = "warning", "critical"


def lasting(seconds: int, step: int = 30, **fields: object) -> list[tuple[float, object]]:
    """One anomaly that is reported again every `step` seconds with one occurrence more."""
    return [(t, anomaly(first=0, last=t, count=1 + t // step, **fields)) for t in range(0, seconds + 1, step)]


def test_without_group_wait_the_call_that_brings_the_anomaly_tells() -> None:
    first = run(config(), [(5, anomaly())], until=5)
    assert told(first) == [(5, "ops", "firing", WARN)]
    assert [record.status for record in alerts(first)] == ["firing"]


def test_group_wait_collects_before_the_first_message() -> None:
    script = [(0, anomaly("a")), (10, anomaly("b", model="gpt-4")), (29, anomaly("c", CRIT))]
    outputs = run(config(wait=30), script, until=30)
    assert told(outputs) == [(30, "ops", "firing", CRIT)]
    message = notes(outputs)[-1]
    assert len(message.alerts) == 3


def test_a_new_label_set_waits_for_the_next_tick_and_ticks_do_not_move() -> None:
    script = [(0, anomaly("a")), (61, anomaly("b", model="x")), (119, anomaly("c", model="y")), (121, anomaly("d", model="z"))]
    assert [t for t, *_ in told(run(config(wait=10, interval=60), script, until=290))] == [10, 70, 130]


def test_an_update_of_a_known_label_set_tells_nothing_new() -> None:
    assert told(run(config(), lasting(240), until=300)) == [(0, "ops", "firing", WARN)]


def test_escalation_is_told_at_the_next_tick() -> None:
    script = [(0, anomaly("a")), (70, anomaly("b", CRIT))]
    assert told(run(config(interval=60), script, until=200)) == [(0, "ops", "firing", WARN), (120, "ops", "firing", CRIT)]


@pytest.mark.parametrize(
    ("repeat", "expected"), [(120, [0, 120, 240, 360]), (90, [0, 120, 240, 360]), (60, [0, 60, 120, 180, 240, 300, 360])]
)
def test_repeats_come_at_ticks_after_repeat_interval(repeat: int, expected: list[int]) -> None:
    assert [t for t, *_ in told(run(config(interval=60, repeat=repeat), lasting(360), until=360))] == expected


def test_a_change_restarts_repeat_interval() -> None:
    script = sorted([*lasting(300), (50, anomaly("b", model="x"))], key=lambda step: step[0])
    assert [t for t, *_ in told(run(config(interval=60, repeat=120), script, until=300))] == [0, 60, 180, 300]


def test_max_frequency_is_the_least_time_between_repeats() -> None:
    settings = config(definition(max_frequency_s=300.0), interval=60, repeat=60)
    assert [t for t, *_ in told(run(settings, lasting(660), until=660))] == [0, 300, 600]


def test_max_frequency_holds_back_changes_but_not_a_higher_severity() -> None:
    settings = config(definition(max_frequency_s=300.0), interval=60)
    same = [*lasting(300), (301, anomaly("b", model="x", first=301))]
    assert [t for t, *_ in told(run(settings, [*lasting(30), (40, anomaly("b", model="x"))], until=299))] == [0]
    assert [t for t, *_ in told(run(settings, [(0, anomaly()), (40, anomaly("b", CRIT))], until=299))] == [0, 60]
    assert [t for t, *_ in told(run(settings, same, until=400))] == [0, 360]


def test_max_frequency_also_holds_for_an_alert_that_fires_anew() -> None:
    settings = config(definition(max_frequency_s=900.0), resolve_timeout_s=60.0)
    script = [(0, anomaly("a")), (200, anomaly("b", first=200)), (230, anomaly("c", first=230)), (870, anomaly("d", first=870))]
    assert told(run(settings, script, until=3_000)) == [
        (0, "ops", "firing", WARN),
        (60, "ops", "resolved", WARN),
    ], "what came and went while nobody might be told is not told afterwards"
    still = [*script[:-1], (870, anomaly("d", first=870)), (925, anomaly("d", last=925, count=2))]
    assert told(run(settings, still, until=3_000))[2:] == [(930, "ops", "firing", WARN), (990, "ops", "resolved", WARN)]


def test_a_cap_holds_for_a_window() -> None:
    settings = config(definition(max_notifications=2, notifications_window_s=600.0), interval=60, repeat=60)
    outputs = run(settings, lasting(720), until=720)
    assert [t for t, *_ in told(outputs)] == [0, 60, 600, 660]
    assert [entry for entry in decisions(outputs) if entry[2] == "throttled"] == [
        (120, "ops", "throttled", "at most 2 messages in 600 s"),
        (720, "ops", "throttled", "at most 2 messages in 600 s"),
    ]


def test_every_decision_is_on_record_once() -> None:
    settings = config(
        definition(max_frequency_s=100.0), wait=30, suppression_rules=(SuppressionRule("noise", (Matcher("model", "=", "x"),)),)
    )
    script = [
        (0, anomaly("a")),
        (50, anomaly("b", model="x")),
        (100, anomaly("c", model="y")),
        (310, anomaly("c", model="y", last=310, count=2)),
    ]
    assert decisions(run(settings, script, until=900)) == [
        (30, "ops", "sent", "first"),
        (50, "ops", "grouped", "waits for others of its group"),
        (90, "ops", "suppressed", "suppression rule noise"),
        (100, "ops", "grouped", "waits for others of its group"),
        (150, "ops", "sent", "new alerts"),
        (210, "ops", "suppressed", "suppression rule noise"),
        (330, "ops", "sent", "some resolved"),
        (630, "ops", "sent", "resolved"),
    ]


def test_an_alert_that_flaps_counts_as_firing() -> None:
    def flapping(damping: FlapDamping) -> list[tuple[float, str]]:
        settings = config(interval=20, resolve_timeout_s=30.0, flap=damping)
        script = [(t, anomaly(str(t), first=t)) for t in range(0, 400, 50)]
        return [(t, status) for t, _, status, _ in told(run(settings, script, until=2_000))]

    assert len(flapping(FlapDamping())) == 16
    damped = flapping(FlapDamping(changes=2, window_s=300.0, hold_s=300.0))
    assert [status for _, status in damped] == ["firing", "resolved"] * 3
    assert damped[-1] == (660, "resolved"), "quiet for 300 s after the last anomaly at 350, at the next tick"


def test_resolved_after_the_timeout_to_whoever_was_told() -> None:
    settings = config(routes=(route("pager", severity=CRIT), route("chat", severity=WARN)))
    outputs = run(settings, [(0, anomaly("a")), (20, anomaly("b", CRIT, first=20))], until=1_000)
    assert told(outputs) == [
        (0, "chat", "firing", WARN),
        (20, "pager", "firing", CRIT),
        (300, "chat", "resolved", WARN),
        (320, "pager", "resolved", CRIT),
    ]
    (record,) = last_of_each(outputs).values()
    assert (record.status, record.severity, record.starts_at, record.ends_at, record.count) == ("resolved", CRIT, at(0), at(20), 2)
    assert record.receivers == ["chat", "pager"]


def test_a_receiver_that_wants_no_resolved_gets_none() -> None:
    outputs = run(config(receivers=(Receiver("ops", "email", send_resolved=False),)), [(0, anomaly())])
    assert [status for _, _, status, _ in told(outputs)] == ["firing"]
    assert alerts(outputs)[-1].status == "resolved"


def test_one_short_anomaly_is_told_even_if_the_resolve_timeout_is_shorter_than_group_wait() -> None:
    settings = config(wait=30, resolve_timeout_s=10.0)
    assert told(run(settings, [(0, anomaly())])) == [(30, "ops", "firing", WARN), (90, "ops", "resolved", WARN)]


def test_a_label_set_that_ends_rides_along_as_resolved_with_the_next_message() -> None:
    script = [
        (0, anomaly("a")),
        (0, anomaly("b", model="x")),
        (250, anomaly("b", model="x", last=250, count=2)),
        (310, anomaly("c", first=310, model="y")),
    ]
    outputs = run(config(interval=60), script, until=400)
    last = notes(outputs)[-1]
    assert [(part.status, part.labels.get("model")) for part in last.alerts] == [("firing", "x"), ("firing", "y")]
    assert [(part.status, part.labels.get("model")) for part in notes(outputs)[-2].alerts] == [("firing", "x"), ("resolved", None)]


def test_refired_within_the_interval_while_others_fire_tells_nothing() -> None:
    script = [
        (0, anomaly("a")),
        (1, anomaly("b", model="x")),
        (299, anomaly("b", model="x", last=299, count=2)),
        (310, anomaly("c", first=310)),
    ]
    assert [t for t, *_ in told(run(config(wait=30, interval=60), script, until=500))] == [30]


def test_after_a_resolved_alert_a_new_anomaly_is_a_new_alert_and_a_known_one_the_same() -> None:
    new = run(config(), [(0, anomaly("a")), (400, anomaly("b", first=400))], until=400)
    assert len(last_of_each(new)) == 2
    assert [m.sequence for m in new if isinstance(m, NotificationRecord)] == [1, 2, 1]
    same = run(config(), [(0, anomaly("a")), (400, anomaly("a", last=400, count=5))], until=400)
    assert [(record.count, record.status) for record in last_of_each(same).values()] == [(5, "firing")]
    assert [m.sequence for m in same if isinstance(m, NotificationRecord)] == [1, 2, 3]


def test_everything_is_forgotten_in_the_end() -> None:
    settings = config()
    simulation = Simulation(settings, match(anomaly(), settings)[0], store=False)
    simulation.run([(0, anomaly())], until=300 + 3_599)
    assert simulation.group.to_state()
    simulation.run([], until=300 + 3_600)
    assert (simulation.group.to_state(), simulation.group.next_timer()) == (b"", None)
