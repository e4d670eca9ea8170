"""Title and reason of an anomaly, in words and figures that a person can check against the data."""

from __future__ import annotations

import math

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.metrics_vocabulary import METRICS, canonical_metric

_TITLES = {
    "latency_ms": "Latency",
    "latency_p95_ms": "95th percentile of latency",
    "error_rate": "Error rate",
    "calls_per_second": "Call rate",
    "events_per_second": "Event rate",
    "prompts_per_second": "Prompt rate",
    "tokens_per_second": "Token rate",
    "tokens_per_request": "Tokens per request",
    "cost_per_second": "Spending rate",
    "cost_per_request": "Cost per request",
}
_CALL_METRICS = ("latency_ms", "latency_p95_ms", "error_rate", "tokens_per_request", "cost_per_request")


def describe(config: DetectorConfig, entity: str, found: Detection) -> tuple[str, str]:
    """Title and reason. `entity` is `application` or `application/model`."""
    if found.sentence:
        who = f"user {found.user_id} of {entity}" if found.user_id else f"{found.key} of {entity}" if found.key else entity
        return f"{config.name or config.id}: {who}", f"{found.sentence[0].upper()}{found.sentence[1:]} ({who})"
    if config.strategy == "silence":
        return (
            f"Silence of {entity}",
            f"No event of {entity} for {duration(found.deviation)}; expected {figure(found.baseline)} events/s from the last "
            f"{duration(found.learned_s)}, silence counts from {duration(found.threshold)}",
        )
    if config.strategy == "peer":
        seconds = (found.window_end_ms - found.window_start_ms) / 1000
        return (
            f"Unusual activity of one user of {entity}",
            f"User {found.user_id} sent {found.count} events to {entity} in {duration(seconds)}, {figure(found.observed)} every 10 s; "
            f"expected at most {figure(found.high)} from their past and their peers; {found.deviation:.1f} sigma",
        )
    if found.evidence:
        return _of_model(config, entity, found)
    metric = canonical_metric(config.metric or "")
    up = found.observed >= found.baseline if math.isfinite(found.baseline) else found.observed >= found.threshold
    title = f"{_TITLES.get(metric, metric)} of {entity} {'above' if up else 'below'} normal"
    seconds = (found.window_end_ms - found.window_start_ms) / 1000
    calls = f" ({found.count} call{'s' if found.count != 1 else ''})" if metric in _CALL_METRICS else ""
    how = "" if metric.endswith("_per_second") or metric in ("latency_p95_ms", "error_rate") else " on average"
    saw = f"{metric} of {entity} was {with_unit(metric, found.observed)}{how} over {duration(seconds)}{calls}"
    if config.strategy == "threshold":
        title = f"{_TITLES.get(metric, metric)} of {entity} beyond its limit"
        return title, f"{saw}; the limit is {with_unit(metric, found.threshold)}"
    past = f" from the last {duration(found.learned_s)}"
    if config.strategy == "percentile":
        return title, (
            f"{saw}; the learned percentile is {with_unit(metric, found.baseline)}{past}, the limit {figure(found.threshold)} times it; "
            f"{figure(found.deviation)} times"
        )
    expected = f"{figure(found.low * _factor(metric))}–{with_unit(metric, found.high)}"
    return title, f"{saw}; expected {expected}{past}; {abs(found.deviation):.1f} sigma"


def _of_model(config: DetectorConfig, entity: str, found: Detection) -> tuple[str, str]:
    """A trained model judged the whole vector: name the metrics that are furthest off."""
    told = "; ".join(
        f"{metric} {with_unit(metric, observed)}, usually {figure(low * _factor(metric))}–{with_unit(metric, high)}"
        for metric, observed, low, high, off in found.evidence[:3]
        if abs(off) >= 1.0 or metric == found.metric
    )
    name, version = found.model_version.rsplit("/", 1)
    return f"Unusual mix of measures of {entity}", (
        f"The last {duration((found.window_end_ms - found.window_start_ms) / 1000)} of {entity} ({found.count} calls) do not look like its "
        f"past: {told}; {config.strategy} model {name} version {version}, {found.deviation:.1f} sigma"
    )


def figure(value: float) -> str:
    """Three significant digits, thousands with commas: 3,120, 12.4, 0.00213."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "unlimited"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


def with_unit(metric: str, value: float) -> str:
    """The value with its unit; shares in percent."""
    if _factor(metric) != 1.0:
        return f"{figure(value * 100.0)} %"
    return f"{figure(value)} {METRICS[metric].unit}"


def _factor(metric: str) -> float:
    return 100.0 if METRICS[metric].unit == "1" else 1.0


def duration(seconds: float) -> str:
    """`45 s`, `5 m`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} m" if seconds < 5400 else f"{seconds / 3600:.3g} h"
