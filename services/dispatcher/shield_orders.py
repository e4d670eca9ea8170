"""What a record of `sentinel-shield-actions` asks for: to enforce the actions of an anomaly or an alert, or to end those of an alert that is over."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.identity import stable_id
from sentinel.shield import PREFIX
from sentinel.timestamps import from_rfc3339
from services.shield.client import Action

TOPIC = "sentinel-shield-actions"
RECEIVER = "shield"
"""The name under which the ledger, the circuit breaker and `sentinel dispatcher status` know it."""


class Request(msgspec.Struct, kw_only=True):
    """One request as `sentinel.shield` froze it into the record."""

    action: str
    target: str
    timestamp: str
    action_id: str
    duration_s: float
    reason: str = ""
    parameters: dict[str, str] = {}
    endpoint: str = ""

    @property
    def kind(self) -> str:
        """block, rate_limit, throttle, quarantine or alert_only."""
        return self.action.removeprefix(PREFIX)

    @property
    def ends_ms(self) -> int:
        """When the action is to be over, counted from what caused it: epoch milliseconds."""
        return from_rfc3339(self.timestamp) + round(self.duration_s * 1000)

    def to_action(self, now_ms: int, context: dict[str, str]) -> Action:
        """The action for the time that is left of it."""
        left_s = (self.ends_ms - now_ms) / 1000
        return Action(self.action_id, self.kind, self.target, self.reason, left_s, {**context, **self.parameters})


class Order(msgspec.Struct, kw_only=True):
    """One record. `notification_id` keys the ledger; `release` says that the alert is over."""

    notification_id: str
    tenant_id: str
    title: str
    alert_id: str = ""
    anomaly_ids: list[str] = []
    requests: list[Request] = []
    release: bool = False
    forgotten: int = 0
    """With `release`: anomalies that nobody can name any more; their actions end by themselves."""
    context: dict[str, str] = {}
    receiver: str = RECEIVER


class _Anomaly(msgspec.Struct, kw_only=True):
    anomaly_id: str
    tenant_id: str
    application_id: str = ""
    detector_id: str = ""
    severity: str = ""
    title: str = ""
    actions_taken: list[dict[str, Any]] = []


class _Alert(msgspec.Struct, kw_only=True):
    alert_id: str
    tenant_id: str
    definition_id: str = ""
    status: str
    severity: str = ""
    ends_at: str | None = None
    anomaly_ids: list[str] = []
    reopened: int = 0
    shield: list[Request] = []
    shield_anomaly_ids: list[str] = []
    shield_forgotten: int = 0


def parse(value: bytes) -> Order:
    """Raises ValueError naming the JSON path when the record is neither an anomaly nor an alert."""
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        order = (
            _of_alert(msgspec.json.decode(value, type=_Alert))
            if "alert_id" in fields
            else _of_anomaly(msgspec.json.decode(value, type=_Anomaly))
        )
        for request in order.requests:
            from_rfc3339(request.timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"not a record for Shield: {error}") from error
    return order


def _of_anomaly(anomaly: _Anomaly) -> Order:
    context = {
        "tenant_id": anomaly.tenant_id,
        "application_id": anomaly.application_id,
        "detector_id": anomaly.detector_id,
        "anomaly_id": anomaly.anomaly_id,
        "severity": anomaly.severity,
    }
    return Order(
        notification_id=stable_id("shield-order", anomaly.anomaly_id),
        tenant_id=anomaly.tenant_id,
        title=anomaly.title,
        anomaly_ids=[anomaly.anomaly_id],
        requests=[msgspec.convert(entry, Request) for entry in anomaly.actions_taken if str(entry.get("action", "")).startswith(PREFIX)],
        context={name: text for name, text in context.items() if text},
    )


def _of_alert(alert: _Alert) -> Order:
    release = alert.status == "resolved"
    # An alert that is taken up again after its end asks for other actions, and is released once more.
    asked = [request.action_id for request in alert.shield]
    parts = ("shield-release", alert.alert_id, alert.ends_at, alert.reopened) if release else ("shield-order", alert.alert_id, *asked)
    context = {"tenant_id": alert.tenant_id, "alert_id": alert.alert_id, "severity": alert.severity, "definition_id": alert.definition_id}
    return Order(
        notification_id=stable_id(*parts),
        tenant_id=alert.tenant_id,
        title=f"alert {alert.alert_id} {'is over' if release else 'fires'}",
        alert_id=alert.alert_id,
        anomaly_ids=[*alert.anomaly_ids, *alert.shield_anomaly_ids],
        requests=[] if release else alert.shield,
        release=release,
        forgotten=alert.shield_forgotten if release else 0,
        context={name: text for name, text in context.items() if text},
    )
