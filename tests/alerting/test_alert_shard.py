"""Many alerts together: they sleep while nothing can be said, wake when something changes, and say the same as if they never slept."""

from __future__ import annotations

import pytest
from alerting_simulation import RECEIVERS, T0, S, Script, anomaly, config, definition, notes, route, run, told
from hypothesis import given, settings
from msgspec.structs import replace
from test_alert_replay import as_bytes, scripts

from sentinel.alerting.alert_shard import AlertShard
from sentinel.alerting.group import AlertGroup
from sentinel.alerting.inhibition import InhibitSource, TenantMutes
from sentinel.alerting.matching import match
from sentinel.alerting.muting import Silence
from sentinel.alerting.records import AlertRecord, DecisionRecord, Output
from sentinel.config.runtime import Escalation, EscalationStep, InhibitRule, Matcher, RuntimeConfig
from sentinel.timestamps import from_rfc3339

BUSY = config(
    definition(max_frequency_s=100.0, escalation="boss"),
    routes=(
        route("pager", "ops", wait=0, interval=20, repeat=90, go_on=True, severity="critical"),
        route("chat", "ops", wait=15, interval=30, repeat=70),
    ),
    escalations=(Escalation("boss", (EscalationStep(45.0, ("pager",)), EscalationStep(50.0, ("ops",))), 1),),
    resolve_timeout_s=50.0,
)
_RULE = InhibitRule((Matcher("kind", "=", "cause"),), (Matcher("application_id", "=~", ".+"),), name="r")
QUIET = config(interval=30, repeat=14_400, resolve_timeout_s=300, inhibit_rules=(_RULE,))


class Watched:
    """A shard under a virtual clock that is asked for its timers as the operator asks for them."""

    def __init__(self, settings: RuntimeConfig) -> None:
        self.settings, self.mutes = settings, TenantMutes(settings)
        self.stored: dict[str, bytes] = {}
        self.shard = AlertShard((), settings, self.mutes, T0, T0)
        self.outputs: list[Output] = []

    def restart(self, seconds: float) -> None:
        """Another instance, from what was written."""
        self.shard = AlertShard(self.stored.items(), self.settings, self.mutes, T0 + round(seconds * S), T0 + round(seconds * S))

    def until(self, seconds: float) -> None:
        now = T0 + round(seconds * S)
        while (due := self.shard.next_timer()) is not None and due <= now:
            self._keep(self.shard.on_time(due))

    def send(self, seconds: float, **fields: object) -> None:
        self.until(seconds)
        record = anomaly(first=seconds, **fields)  # type: ignore[arg-type]
        for key in match(record, self.settings):
            self._keep(self.shard.on_anomaly(key.to_text(), record, T0 + round(seconds * S)))

    def look_around(self, seconds: float) -> None:
        self.until(seconds)
        self.shard.look_around(self.settings, self.mutes, T0 + round(seconds * S))
        self._keep([])

    def _keep(self, outputs: list[Output]) -> None:
        self.outputs += outputs
        for key, state in self.shard.written().items():
            if state:
                self.stored[key] = state
            else:
                del self.stored[key]


def always_awake(script: Script, until: float, settings: RuntimeConfig = BUSY) -> list[Output]:
    """As `run`, with every group looking at every tick, as it would if nothing slept."""
    group = AlertGroup.from_state(match(script[0][1], settings)[0], None, settings)
    outputs: list[Output] = []

    def timers(now: int) -> None:
        while (due := group.next_timer()) is not None and due <= now:
            outputs.extend(group.on_timer(due))
            group.wake(due)

    for seconds, record in script:
        now = T0 + round(seconds * S)
        timers(now)
        outputs.extend(group.on_anomaly(record, now))
        group.wake(now)
    timers(T0 + round(until * S))
    return outputs


@given(scripts())
@settings(max_examples=150, deadline=None)
def test_sleeping_changes_nothing_that_is_said(script: Script) -> None:
    assert as_bytes(run(BUSY, script)) == as_bytes(always_awake(script, 3_000))


@pytest.mark.parametrize(("interval", "at"), [(25, 75.0), (20, 60.0)], ids=["its next tick", "its tick at this instant"])
def test_a_group_that_is_gone_leaves_its_receivers_to_one_that_sleeps(interval: float, at: float) -> None:
    settings = config(
        routes=(route("pager", wait=0, interval=60, go_on=True, severity="critical"), route("ops", "pager", wait=0, interval=interval)),
        resolve_timeout_s=40,
    )
    script = [(0.0, anomaly("a", "critical"))]
    script += [(t, anomaly("b", "warning", first=1, last=t, model="m", count=int(t))) for t in (1.0, 30.0, 60.0, 90.0, 120.0)]
    said = run(settings, script, 125)
    assert (at, "pager", "firing", "warning") in told(said), "the critical one's group told pager of its end at 60 s; the other one goes on"
    assert as_bytes(said) == as_bytes(always_awake(script, 125, settings))


def test_an_escalation_wakes_the_group_that_a_receiver_belongs_to() -> None:
    step = Escalation("boss", (EscalationStep(45.0, ("pager",)),), 0)
    settings = config(
        routes=(
            route("pager", wait=0, interval=30, go_on=True, severity="critical"),
            replace(route("ops", wait=0, interval=30, model="m"), escalation="boss"),
        ),
        escalations=(step,),
        resolve_timeout_s=1_000,
    )
    script = [(0.0, anomaly("a", "critical", model="m")), (1.0, anomaly("b", "critical", model="other"))]
    said = run(settings, script, 300)
    assert [t for t, receiver, *_ in told(said) if receiver == "pager"] == [0, 30, 45, 60], (
        "told of one alone at 45 s, and of both at its next tick"
    )
    assert as_bytes(said) == as_bytes(always_awake(script, 300, settings))


def test_an_alert_at_rest_wakes_only_when_something_is_due() -> None:
    watched = Watched(QUIET)
    for hour in range(5):
        for minute in range(0, 60, 4):
            watched.send(hour * 3600 + minute * 60, name="a", last=hour * 3600 + minute * 60, count=1 + hour * 15 + minute)
    assert [t for t, *_ in told(watched.outputs)] == [0, 14_400], "the first message, and the repeat after four hours"
    assert watched.shard.wakes == 1, "of 600 ticks of its group only one had anything to say"
    watched.until(6 * 3600)
    assert told(watched.outputs)[-1] == (18_060.0, "ops", "resolved", "warning"), "five minutes after the last anomaly, at the next tick"


def test_alerts_of_a_shard_are_written_within_the_call_and_survive_a_restart() -> None:
    watched = Watched(QUIET)
    for number in range(500):
        watched.send(number / 100, name=f"a{number}", application_id=f"app-{number}")
    assert (len(watched.shard), len(watched.stored), len(notes(watched.outputs))) == (500, 500, 500)
    watched.restart(60)
    watched.until(200)
    assert len(notes(watched.outputs)) == 500, "nobody is told again"
    watched.send(200, name="a7", application_id="app-7", count=2)
    watched.until(1_000)
    ends = [note for note in notes(watched.outputs) if note.status == "resolved"]
    assert len(ends) == 500, "a restart resolves nothing by itself, and forgets no end"
    watched.until(20_000)
    assert (len(watched.shard), watched.stored, watched.shard.next_timer()) == (0, {}, None)


def test_a_new_silence_reaches_alerts_that_sleep() -> None:
    watched = Watched(QUIET)
    watched.send(0, name="a")
    watched.mutes.silence("acme", Silence("s", ['application_id="chat"'], T0 + 40 * S, T0 + 100 * S))
    watched.look_around(41)
    watched.until(299)
    assert outcomes(watched) == [(0.0, "sent", "first"), (60.0, "suppressed", "silence s"), (120.0, "sent", "mute ended")]


def test_a_silence_that_is_ended_early_reaches_them_too() -> None:
    watched = Watched(QUIET)
    watched.send(0, name="a")
    watched.mutes.silence("acme", Silence("s", ['application_id="chat"'], T0 + 40 * S, T0 + 280 * S))
    watched.look_around(41)
    watched.until(100)
    watched.mutes.expire("acme", "s", T0 + 100 * S)
    watched.look_around(101)
    watched.until(299)
    assert outcomes(watched)[-1] == (120.0, "sent", "mute ended")


def test_a_new_source_of_inhibition_reaches_them_and_other_tenants_sleep_on() -> None:
    watched = Watched(QUIET)
    watched.send(0, name="a")
    watched.send(0, name="b", tenant_id="other")
    watched.mutes.learn(InhibitSource("acme", {"kind": "cause"}, T0 + 31 * S, T0 + 91 * S))
    watched.look_around(32)
    watched.until(299)
    assert outcomes(watched)[2:] == [(60.0, "suppressed", "inhibited by rule r"), (120.0, "sent", "mute ended")]
    assert watched.shard.wakes == 3, "at 60, 90 and 120 s, the one alert that is concerned"


def test_another_configuration_reaches_alerts_that_sleep() -> None:
    watched = Watched(QUIET)
    watched.send(0, name="a")
    watched.settings = config(interval=30, repeat=14_400, version=2, default_receiver="pager", receivers=RECEIVERS)
    watched.mutes = TenantMutes(watched.settings)
    watched.look_around(50)
    watched.until(100)
    assert [(t, receiver) for t, receiver, *_ in told(watched.outputs)] == [(0, "ops"), (60, "pager")]


def test_records_of_an_alert_that_only_goes_on_come_once_a_second() -> None:
    watched = Watched(QUIET)
    for step in range(100):
        watched.send(step / 20, name="a", last=step / 20, count=1 + step)
    watched.until(10)
    records = [output for output in watched.outputs if isinstance(output, AlertRecord)]
    assert [record.count for record in records] == [1, 20, 40, 60, 80, 100]


def outcomes(watched: Watched) -> list[tuple[float, str, str]]:
    """(seconds, outcome, detail) of every decision of tenant acme and others, in order."""
    found = [output for output in watched.outputs if isinstance(output, DecisionRecord)]
    return [((from_rfc3339(record.at) - T0) / S, record.outcome, record.detail) for record in found]
