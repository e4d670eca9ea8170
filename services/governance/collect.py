"""Metrics of whole minutes out of Postgres, as metrics aggregations (specification, Data Schemas 5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from sentinel.timestamps import to_rfc3339

_MINUTES = """
SELECT tenant_id, application_id, model, minute, events, calls, errors, error_rate, latency_avg_ms, latency_p50_ms, latency_p95_ms, latency_p99_ms,
       tokens, cost_usd
FROM analytics.metrics_1m WHERE minute >= %s AND minute < %s ORDER BY minute, tenant_id, application_id, model
"""
_ANOMALIES = """
SELECT tenant_id, application_id, detector_type, severity, date_trunc('minute', first_seen) AS minute, count(*) AS anomalies, max(score) AS score
FROM sentinel.anomalies WHERE first_seen >= %s AND first_seen < %s GROUP BY 1, 2, 3, 4, 5 ORDER BY 5, 1, 2, 3, 4
"""
_ALERTS = """
SELECT tenant_id, severity, date_trunc('minute', starts_at) AS minute, count(*) AS alerts
FROM sentinel.alerts WHERE starts_at >= %s AND starts_at < %s GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""
_OF_MINUTE = (
    ("calls", "calls", "count", "calls"),
    ("errors", "errors", "count", "calls"),
    ("error_rate", "error_rate", "avg", "ratio"),
    ("latency_ms", "latency_avg_ms", "avg", "ms"),
    ("latency_ms", "latency_p50_ms", "p50", "ms"),
    ("latency_ms", "latency_p95_ms", "p95", "ms"),
    ("latency_ms", "latency_p99_ms", "p99", "ms"),
    ("tokens", "tokens", "sum", "tokens"),
    ("cost_usd", "cost_usd", "sum", "USD"),
)
"""(metric, column, aggregation, unit); what a minute has no value for is left out."""


def metrics(connection: psycopg.Connection[Any], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Every metric of the minutes in [start, end), in an order that depends on the data alone."""
    return [
        *_minutes(connection, start, end),
        *_counts(connection, _ANOMALIES, "anomaly_rate", "anomalies", "anomalies/min", start, end),
        *_counts(connection, _ALERTS, "alert_rate", "alerts", "alerts/min", start, end),
    ]


def _minutes(connection: psycopg.Connection[Any], start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    for row in _rows(connection, _MINUTES, start, end):
        dimensions = {name: row[name] for name in ("tenant_id", "application_id", "model") if row[name]}
        for name, column, aggregation, unit in _OF_MINUTE:
            if row[column] is not None:
                yield _metric(name, row["minute"], aggregation, float(row[column]), unit, dimensions, row["events"])


def _counts(
    connection: psycopg.Connection[Any], sql: LiteralString, name: str, column: str, unit: str, start: datetime, end: datetime
) -> Iterator[dict[str, Any]]:
    for row in _rows(connection, sql, start, end):
        dimensions = {key: row[key] for key in ("tenant_id", "application_id", "detector_type", "severity") if row.get(key)}
        yield _metric(name, row["minute"], "count", float(row[column]), unit, dimensions, row[column])


def _rows(connection: psycopg.Connection[Any], sql: LiteralString, start: datetime, end: datetime) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql, (start, end)).fetchall()


def _metric(
    name: str, minute: datetime, aggregation: str, value: float, unit: str, dimensions: dict[str, str], samples: int
) -> dict[str, Any]:
    return {
        "metric_name": name,
        "timestamp": to_rfc3339(round(minute.timestamp() * 1000)),
        "window_duration": "1m",
        "aggregation": aggregation,
        "value": value,
        "unit": unit,
        "dimensions": dimensions,
        "metadata": {"sample_count": int(samples)},
    }
