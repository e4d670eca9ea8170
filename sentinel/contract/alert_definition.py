"""Alert definition (specification, Data Schemas 3). Unknown keys are refused: people write it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sentinel.contract.types import Clock, ClosedModel, Frequency, OpenModel, Ratio, Severity, Window


class Filters(ClosedModel):
    """Which anomalies count; a list that is left out lets everything pass."""

    severity: list[Severity] | None = None
    detector_ids: list[str] | None = None
    application_ids: list[str] | None = None
    score_threshold: Ratio | None = None


class Aggregation(ClosedModel):
    """How many (or how much) within the window raise the alert."""

    window: Window | None = Field(default=None, examples=["5m"])
    function: Literal["count", "avg", "sum", "max", "min"] | None = None
    threshold: float | None = Field(default=None, examples=[5])


class Conditions(ClosedModel):
    """When the alert is raised."""

    trigger: Literal["anomaly", "metric_threshold", "event_pattern"]
    filters: Filters | None = None
    aggregation: Aggregation | None = None
    metric: str | None = Field(default=None, description="Trigger metric_threshold: what is compared with the aggregation's threshold")
    condition: Literal["greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal"] | None = Field(
        default=None, description="How it is compared; default greater_than_or_equal"
    )
    pattern: str | None = Field(default=None, description="Trigger event_pattern: RE2 expression on the text of events")
    field: Literal["prompt", "response", "message"] | None = Field(default=None, description="Which text; default prompt")


class ActionConfig(OpenModel):
    """Settings of one action; which keys mean something depends on its type."""

    receivers: list[str] | None = Field(default=None, description="Receivers to notify; when left out, the routes decide")
    priority: Literal["low", "medium", "high", "critical"] | None = Field(
        default=None, description="Of a notification: how urgent its messages are; mail says so in its header Importance"
    )


class Action(ClosedModel):
    """What happens."""

    type: Literal["notification", "shield", "webhook", "incident"]
    config: ActionConfig | None = Field(default=None, description="Action-specific configuration")


class Throttling(ClosedModel):
    """How often it may be repeated, and what belongs together."""

    max_frequency: Frequency | None = Field(default=None, description="Minimum time between repeated alerts", examples=["15m"])
    max_notifications: int | None = Field(default=None, ge=1, le=100, description="Most messages to one receiver within `window`")
    window: Window | None = Field(default=None, examples=["1h"])
    grouping: list[str] | None = Field(default=None, description="Fields to group alerts by", examples=[["application_id", "detector_id"]])


class ActiveHours(ClosedModel):
    """From `start` to `end` (HH:MM), over midnight when the end is before the start."""

    start: Clock | None = None
    end: Clock | None = None


class Schedule(ClosedModel):
    """When the definition is active."""

    timezone: str | None = Field(default=None, examples=["America/New_York"])
    active_hours: ActiveHours | None = None
    days_of_week: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = None


class AlertDefinition(ClosedModel):
    """Alert routing and notification rule (specification, Data Schemas 3)."""

    alert_id: str = Field(min_length=1, examples=["high-latency-alert"])
    name: str
    conditions: Conditions
    actions: list[Action] = Field(min_length=1)
    description: str | None = None
    enabled: bool = True
    severity: Severity | None = Field(default=None, description="Severity of its alerts; default that of the anomalies")
    labels: dict[str, str] | None = Field(default=None, description="Labels to add; templates such as {{ .anomaly.model }}")
    annotations: dict[str, str] | None = Field(default=None, description="Annotations to add; templates")
    escalation: str | None = Field(default=None, description="Name of an escalation policy")
    throttling: Throttling | None = None
    schedule: Schedule | None = None
