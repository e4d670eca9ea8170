"""Anomaly event (specification, Data Schemas 2), with optional additions of ours: counts of folded occurrences, correlation, labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sentinel.contract.types import DetectorType, Integer, OpenModel, Ratio, Severity, Timestamp, Uuid


class AffectedEntity(OpenModel):
    """What the anomaly is about."""

    type: Literal["application", "model", "user", "endpoint"] | None = None
    id: str | None = Field(default=None, examples=["gpt-4"])
    name: str | None = Field(default=None, examples=["GPT-4 Turbo"])


class AnomalyMetrics(OpenModel):
    """Numbers behind the decision, in the unit of the metric; `deviation` is in the detector's own measure (standard deviations, ratio)."""

    baseline_value: float | None = None
    observed_value: float | None = None
    deviation: float | None = None
    threshold: float | None = None


class ClassifierReason(OpenModel):
    """A part of a text that speaks for an injection."""

    category: str = Field(description="Kind of attack that the wording is nearest to", examples=["instruction override"])
    text: str = Field(description="The words; decoded when they were hidden")
    start: Integer = Field(ge=0, description="First character in the text of the event")
    end: Integer = Field(ge=0, description="The character behind the last")
    weight: float = Field(description="What the words add to the logit of the score")
    hidden: str = Field(default="", description="How the words were hidden", examples=["base64"])


class AnomalyContext(OpenModel):
    """Where to look further."""

    window_start: Timestamp | None = None
    window_end: Timestamp | None = None
    sample_events: list[str] | None = Field(default=None, description="Sample event IDs for investigation")
    related_anomalies: list[str] | None = Field(default=None, description="Related anomaly IDs")
    trace_ids: list[str] | None = Field(default=None, description="Traces of the events that were found, at most 10")
    evidence_sql: str | None = Field(
        default=None, description="The metric by minute around the anomaly, as a query on analytics.metrics_1m"
    )
    ended_at: Timestamp | None = Field(default=None, description="Last occurrence of an anomaly with status resolved")
    classifier: str | None = Field(default=None, description="Name and version of the model that scored a text")
    field: str | None = Field(default=None, description="The text that was scored: prompt, response or message")
    reasons: list[ClassifierReason] | None = Field(default=None, description="Why a text was scored as it was")


class ActionTaken(OpenModel):
    """One action that followed; a request to Shield also says what exactly was asked."""

    action: (
        Literal["alert", "shield_block", "shield_rate_limit", "shield_throttle", "shield_quarantine", "shield_alert_only", "log"] | None
    ) = None
    target: str | None = Field(default=None, examples=["pagerduty-oncall"])
    status: Literal["pending", "success", "failed"] | None = None
    timestamp: Timestamp | None = None
    action_id: Uuid | None = Field(default=None, description="Id of the action at Shield")
    duration_s: float | None = Field(default=None, ge=0, description="Seconds that the action lasts")
    reason: str | None = None
    parameters: dict[str, str] | None = None
    endpoint: str | None = Field(default=None, description="Where it is enforced; empty is the configured Shield")


class CorrelationRef(OpenModel):
    """The group of related anomalies and the one that came first."""

    group_id: str | None = None
    root_anomaly_id: str | None = None


class AnomalyEvent(OpenModel):
    """A detected anomaly (specification, Data Schemas 2). The id is a function of the data: a replay gives the same one."""

    anomaly_id: Uuid
    timestamp: Timestamp = Field(description="When the anomaly was detected")
    detector_id: str = Field(examples=["token-rate-spike"])
    severity: Severity
    score: Ratio = Field(description="Anomaly confidence score")
    status: Literal["active", "acknowledged", "resolved", "suppressed"]
    detector_type: DetectorType | None = None
    application_id: str | None = None
    tenant_id: str | None = None
    title: str | None = None
    description: str | None = None
    affected_entity: AffectedEntity | None = None
    metrics: AnomalyMetrics | None = None
    context: AnomalyContext | None = None
    actions_taken: list[ActionTaken] | None = None
    model: str | None = None
    metric: str | None = Field(default=None, description="Name of the metric, from the metric vocabulary")
    user_id: str | None = None
    count: Integer | None = Field(default=None, ge=1, description="Occurrences folded into this anomaly")
    first_seen: Timestamp | Literal[""] | None = None
    last_seen: Timestamp | Literal[""] | None = None
    config_version: Integer | None = Field(default=None, ge=0, description="Configuration version that made this anomaly")
    correlation: CorrelationRef | None = None
    labels: dict[str, str] | None = None
    update: bool | None = Field(default=None, description="False on the first record of an id, true on later ones")
