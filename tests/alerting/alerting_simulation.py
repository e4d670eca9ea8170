"""A virtual clock around the alerting core: a list of anomalies in, a list of outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import AlertKey, match
from sentinel.alerting.records import AlertRecord, DecisionRecord, NotificationRecord, Output
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import Definition, DefinitionAction, Grouping, Matcher, Receiver, Route, RuntimeConfig
from sentinel.timestamps import from_rfc3339, to_rfc3339

T0 = from_rfc3339("2026-03-02T12:00:00.000Z")
"""A Monday noon; scripts count seconds from here, in event and in processing time."""

S = 1000
RECEIVERS = tuple(Receiver(name, "webhook") for name in ("ops", "pager", "chat"))

Script = Sequence[tuple[float, Anomaly]]


def anomaly(
    name: str = "a", severity: str = "warning", *, first: float = 0, last: float | None = None, value: float | None = None, **fields: Any
) -> Anomaly:
    values = {"detector_id": "latency", "application_id": "chat", "tenant_id": "acme", "title": "Latency is high", "score": 0.9} | fields
    return Anomaly(
        anomaly_id=name,
        severity=severity,
        timestamp=at(first),
        first_seen=at(first),
        last_seen=at(first if last is None else last),
        metrics={} if value is None else {"observed_value": value},
        **values,
    )


def at(seconds: float) -> str:
    return to_rfc3339(T0 + round(seconds * S))


def config(
    *definitions: Definition, routes: tuple[Route, ...] = (), wait: float = 0, interval: float = 60, repeat: float = 1e6, **more: Any
) -> RuntimeConfig:
    grouping = Grouping(group_wait_s=wait, group_interval_s=interval, repeat_interval_s=repeat)
    return RuntimeConfig(
        **{
            "version": 1,
            "grouping": grouping,
            "default_receiver": "ops",
            "receivers": RECEIVERS,
            "routes": routes,
            "definitions": definitions,
        }
        | more
    )


def route(*receivers: str, wait: float = 0, interval: float = 60, repeat: float = 1e6, go_on: bool = False, **equal: str) -> Route:
    matchers = tuple(Matcher(label, "=", value) for label, value in equal.items())
    return Route(matchers, receivers, ("application_id", "detector_id"), wait, interval, repeat, go_on)


def definition(name: str = "d", *receivers: str, **fields: Any) -> Definition:
    action = DefinitionAction("notification", {"receivers": list(receivers)})
    return Definition(
        **{"id": name, "name": name, "description": "", "trigger": "anomaly", "actions": (action,) if receivers else ()} | fields
    )


class Simulation:
    """One alert key under a virtual clock. `late` (s) delays every timer; `store` moves the state through bytes at every step."""

    def __init__(self, settings: RuntimeConfig, key: AlertKey, *, late: float = 0, store: bool = True) -> None:
        self.settings, self.key, self.late, self.store = settings, key, late, store
        self.group = AlertGroup.from_state(key, None, settings)
        self.outputs: list[Output] = []

    def run(self, script: Script, until: float) -> list[Output]:
        for seconds, record in script:
            self._timers(T0 + round(seconds * S))
            self._keep(self.group.on_anomaly(record, T0 + round(seconds * S)))
        self._timers(T0 + round(until * S))
        return self.outputs

    def _timers(self, now: int) -> None:
        while (due := self.group.next_timer()) is not None and due + self.late * S <= now:
            self._keep(self.group.on_timer(due + round(self.late * S)))

    def _keep(self, outputs: list[Output]) -> None:
        self.outputs += outputs
        if self.store:
            self.group = AlertGroup.from_state(self.key.to_text(), self.group.to_state(), self.settings)


def run(settings: RuntimeConfig, script: Script, until: float = 3_000, **how: Any) -> list[Output]:
    """Outputs of a script whose anomalies all have the key of the first."""
    return Simulation(settings, match(script[0][1], settings)[0], **how).run(script, until)


def notes(outputs: list[Output]) -> list[NotificationRecord]:
    """The notifications among the outputs."""
    return [output for output in outputs if isinstance(output, NotificationRecord)]


def decisions(outputs: list[Output]) -> list[tuple[float, str, str, str]]:
    """(seconds, receiver, outcome, detail) of every decision."""
    records = [output for output in outputs if isinstance(output, DecisionRecord)]
    return [((from_rfc3339(record.at) - T0) / S, record.receiver, record.outcome, record.detail) for record in records]


def told(outputs: list[Output]) -> list[tuple[float, str, str, str]]:
    """(seconds, receiver, status, severity) of every notification."""
    messages = notes(outputs)
    return [((from_rfc3339(message.created_at) - T0) / S, message.receiver, message.status, message.severity) for message in messages]


def alerts(outputs: list[Output]) -> list[AlertRecord]:
    return [output for output in outputs if isinstance(output, AlertRecord)]


def last_of_each(outputs: list[Output]) -> dict[str, AlertRecord]:
    """The table `alerts` after these outputs."""
    return {record.alert_id: record for record in alerts(outputs)}
