"""Metrics aggregation (specification, Data Schemas 5): one value of one metric over one window."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sentinel.contract.types import Integer, OpenModel, Ratio, Timestamp, Window


class Dimensions(OpenModel):
    """What the value is grouped by; further dimensions are allowed."""

    application_id: str | None = None
    tenant_id: str | None = None
    detector_type: str | None = None
    severity: str | None = None


class AggregationMetadata(OpenModel):
    """How much data is behind the value."""

    sample_count: Integer | None = Field(default=None, description="Number of samples in this aggregation")
    completeness: Ratio | None = Field(default=None, description="Data completeness ratio")


class MetricsAggregation(OpenModel):
    """Aggregated metric for dashboards and analysis (specification, Data Schemas 5)."""

    metric_name: str = Field(examples=["anomaly_rate"])
    timestamp: Timestamp = Field(description="Start of the aggregation window")
    value: float
    aggregation: Literal["avg", "sum", "min", "max", "count", "p50", "p95", "p99"]
    window_duration: Window | None = Field(default=None, examples=["5m"])
    unit: str | None = Field(default=None, examples=["anomalies/min"])
    dimensions: Dimensions | None = None
    metadata: AggregationMetadata | None = None
