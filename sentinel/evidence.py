"""The question behind an anomaly, as SQL on the view `analytics.metrics_1m`, which an analyst can ask again and widen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sentinel.anomaly import Anomaly

BEFORE: Final = timedelta(minutes=30)
"""How much of the past stands beside the anomaly's own minutes."""

COLUMNS: Final = {
    "latency_ms": "latency_avg_ms, latency_p95_ms, latency_max_ms, calls",
    "latency_p95_ms": "latency_p95_ms, latency_max_ms, calls",
    "error_rate": "error_rate, errors, calls",
    "is_error": "error_rate, errors, calls",
    "calls_per_second": "calls_per_second, calls",
    "events_per_second": "events / 60.0 AS events_per_second, events",
    "prompts_per_second": "prompts / 60.0 AS prompts_per_second, prompts",
    "tokens_per_second": "tokens / 60.0 AS tokens_per_second, tokens, calls",
    "tokens_per_request": "tokens_avg, tokens_max, calls",
    "total_tokens": "tokens_avg, tokens_max, calls",
    "cost_per_second": "cost_usd / 60.0 AS cost_per_second, cost_usd, calls",
    "cost_per_request": "cost_avg_usd, cost_max_usd, calls",
}
"""Columns of the view that tell a metric; for others the minute's events, calls and errors."""
OTHER: Final = "events, prompts, calls, errors"


def evidence_sql(anomaly: Anomaly) -> str:
    """One statement: the metric by minute and model, from half an hour before the anomaly's window to its end. '' without a window."""
    start, end = anomaly.context.get("window_start"), anomaly.context.get("window_end")
    if not start or not end:
        return ""
    begin = (datetime.fromisoformat(start) - BEFORE).replace(second=0, microsecond=0)
    conditions = [f"tenant_id = {_quoted(anomaly.tenant_id)}", f"application_id = {_quoted(anomaly.application_id)}"]
    if anomaly.model:
        conditions.append(f"model = {_quoted(anomaly.model)}")
    conditions.append(f"minute BETWEEN '{begin.isoformat()}' AND {_quoted(end)}")
    columns = COLUMNS.get(anomaly.metric, OTHER)
    return f"SELECT minute, model, {columns} FROM analytics.metrics_1m WHERE {' AND '.join(conditions)} ORDER BY minute, model"  # noqa: S608


def _quoted(text: str) -> str:
    """A literal of standard SQL; ids may hold quotes."""
    return "'" + text.replace("'", "''") + "'"
