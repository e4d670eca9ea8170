"""Compares what was injected with what was found: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from services.traffic.truth import Truth


@dataclass(frozen=True)
class FoundAnomaly:
    """An anomaly from the store; times in epoch ms."""

    anomaly_id: str
    tenant_id: str
    application_id: str
    detector_id: str
    metric: str
    severity: str
    title: str
    first_seen_ms: int
    detected_ms: int


@dataclass(frozen=True)
class FoundAlert:
    """An alert from the store; `starts_ms` is the event time of the anomaly that made it fire, `count` how many occurrences it groups."""

    alert_id: str
    tenant_id: str
    application_id: str
    detector_id: str
    metric: str
    definition_id: str
    severity: str
    status: str
    starts_ms: int
    count: int = 1


@dataclass(frozen=True)
class Told:
    """One notification that a receiver accepted (`delivered_ms`), or that still waits (None); `reason` is why it was sent."""

    alert_id: str
    receiver: str
    receiver_type: str
    status: str
    delivered_ms: int | None
    reason: str = ""


@dataclass(frozen=True)
class Findings:
    """Everything that the stores hold about one run."""

    anomalies: tuple[FoundAnomaly, ...] = ()
    alerts: tuple[FoundAlert, ...] = ()
    told: tuple[Told, ...] = ()

    @property
    def earlier(self) -> int:
        """How many alerts of before the run were told of."""
        return len({told.alert_id for told in self.told} - {alert.alert_id for alert in self.alerts})

    def accepted(self, alert_id: str) -> tuple[Told, ...]:
        """Notifications about an alert that their receivers accepted, in the order of acceptance."""
        return tuple(
            sorted((t for t in self.told if t.alert_id == alert_id and t.delivered_ms is not None), key=lambda t: t.delivered_ms or 0)
        )


@dataclass(frozen=True)
class Expectation:
    """Which detectors are meant to find a kind of trouble: by metric, or by detector id where the detector has no metric."""

    metrics: frozenset[str] = frozenset()
    detector_ids: tuple[str, ...] = ()

    def fits(self, detector_id: str, metric: str) -> bool:
        return metric in self.metrics or any(fnmatchcase(detector_id.lower(), pattern) for pattern in self.detector_ids)


EXPECTED: dict[str, Expectation] = {
    "latency_spike": Expectation(frozenset({"latency_ms", "latency_p95_ms"})),
    "error_burst": Expectation(frozenset({"error_rate", "is_error"})),
    "cost_runaway": Expectation(frozenset({"cost", "cost_per_request", "cost_per_second"})),
    "token_explosion": Expectation(
        frozenset({"tokens_per_request", "tokens_per_second", "total_tokens", "prompt_tokens", "completion_tokens"})
    ),
    "prompt_injection_wave": Expectation(detector_ids=("*injection*", "*jailbreak*")),
    "user_misuse": Expectation(frozenset({"top_user_events"}), ("*user*misuse*",)),
    "silence": Expectation(detector_ids=("*silen*",)),
}


@dataclass(frozen=True)
class Row:
    """One injected trouble and what became of it; delays in seconds from its start, `over_delay_s` from its end to when its end was told."""

    truth: Truth
    anomaly: FoundAnomaly | None
    anomaly_delay_s: float | None
    alert: FoundAlert | None
    alert_delay_s: float | None
    told: tuple[Told, ...]
    told_delay_s: float | None
    escalated_delay_s: float | None = None
    over_delay_s: float | None = None

    @property
    def found(self) -> bool:
        """True when there was an anomaly and an alert of the expected kind."""
        return self.anomaly is not None and self.alert is not None


@dataclass(frozen=True)
class Verdict:
    """Result of a run. `false_alarms` are alerts of applications and times without trouble."""

    rows: tuple[Row, ...]
    false_alarms: tuple[FoundAlert, ...] = field(default=())

    @property
    def missed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.found)

    @property
    def passed(self) -> bool:
        return not self.missed and not self.false_alarms

    @property
    def settled(self) -> bool:
        """Nothing more is to come: every trouble was found and somebody was told, of its end too."""
        return (
            not self.missed and not self.unseen and all(row.told_delay_s is not None and row.over_delay_s is not None for row in self.rows)
        )

    @property
    def lives(self) -> dict[str, int]:
        """How many rows show what of the life of an alert: several findings in one alert, an escalation, an end that somebody was told of."""
        return {
            "grouping": sum(row.alert is not None and row.alert.count > 1 for row in self.rows),
            "escalation": sum(row.escalated_delay_s is not None for row in self.rows),
            "the end": sum(row.over_delay_s is not None for row in self.rows),
        }

    @property
    def unseen(self) -> tuple[str, ...]:
        """What of the life of an alert no row shows."""
        return tuple(name for name, rows in self.lives.items() if not rows)


def judge(truths: Sequence[Truth], found: Findings, *, start_ms: int, grace_ms: int) -> Verdict:
    """Match each trouble with the first anomaly and alert of its place and kind between its start and its end + `grace_ms`.

    Alerts from `start_ms` on that lie in no trouble of their application, nor in the grace after one, are false alarms.
    """
    rows = tuple(_row(truth, found, grace_ms) for truth in truths)
    false = (alert for alert in found.alerts if alert.starts_ms >= start_ms and not _excused(alert, truths, grace_ms))
    return Verdict(rows, tuple(sorted(false, key=lambda alert: alert.starts_ms)))


def _row(truth: Truth, found: Findings, grace_ms: int) -> Row:
    expected = EXPECTED[truth.kind]

    def inside(tenant_id: str, application_id: str, ts_ms: int) -> bool:
        place = (tenant_id, application_id) == (truth.tenant_id, truth.application_id)
        return place and truth.start_ms <= ts_ms <= truth.end_ms + grace_ms

    anomaly = min(
        (a for a in found.anomalies if inside(a.tenant_id, a.application_id, a.detected_ms) and expected.fits(a.detector_id, a.metric)),
        key=lambda a: a.detected_ms,
        default=None,
    )
    alert = min(
        (a for a in found.alerts if inside(a.tenant_id, a.application_id, a.starts_ms) and expected.fits(a.detector_id, a.metric)),
        key=lambda a: a.starts_ms,
        default=None,
    )
    told = tuple(t for t in found.told if alert is not None and t.alert_id == alert.alert_id and t.status == "firing")
    accepted = found.accepted(alert.alert_id) if alert is not None else ()
    delivered = [t.delivered_ms for t in told if t.delivered_ms is not None]
    escalated = [t.delivered_ms for t in accepted if t.delivered_ms is not None and t.reason == "escalated"]
    over = [t.delivered_ms for t in accepted if t.delivered_ms is not None and t.status == "resolved"]
    return Row(
        truth,
        anomaly,
        None if anomaly is None else (anomaly.detected_ms - truth.start_ms) / 1000,
        alert,
        None if alert is None else (alert.starts_ms - truth.start_ms) / 1000,
        told,
        (min(delivered) - truth.start_ms) / 1000 if delivered else None,
        (min(escalated) - truth.start_ms) / 1000 if escalated else None,
        (max(over) - truth.end_ms) / 1000 if over else None,
    )


def _excused(alert: FoundAlert, truths: Sequence[Truth], grace_ms: int) -> bool:
    return any(
        (t.tenant_id, t.application_id) == (alert.tenant_id, alert.application_id) and t.start_ms <= alert.starts_ms <= t.end_ms + grace_ms
        for t in truths
    )
