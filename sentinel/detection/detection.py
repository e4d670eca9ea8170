"""What a detector says when it finds something."""

from __future__ import annotations

import math

import msgspec

SEVERITIES = ("info", "warning", "critical")


class Detection(msgspec.Struct, kw_only=True):
    """One anomalous evaluation, in display units of the metric (ms, tokens, USD, ratio, per second, events).

    `observed` against `baseline`, expected `low`–`high` (values at the threshold); `deviation` and `threshold` in sigma, or in
    multiples of the learned percentile; `count` calls were in the window; `anchor_ms` is the first event time of the occurrence, from
    which the anomaly's id is made; `detected_ms` the event time of the evaluation.

    Of a trained model: the `metric` that is furthest off (the configuration names none), `evidence` (metric, observed, low, high, deviation),
    `model_version` as `name/version`, its raw `model_score`, and whether it is a `shadow` that raises nothing.

    Rules name their `model`, or the `key` (such as `session 4711`) that they keep apart, and say their own `sentence`.
    """

    observed: float
    baseline: float
    low: float
    high: float
    deviation: float
    threshold: float
    score: float
    severity: str
    window_start_ms: int
    window_end_ms: int
    detected_ms: int
    anchor_ms: int
    count: int = 0
    samples: list[str] = []
    user_id: str = ""
    learned_s: float = 0.0
    metric: str = ""
    evidence: list[tuple[str, float, float, float, float]] = []
    model_version: str = ""
    model_score: float = 0.0
    shadow: bool = False
    model: str = ""
    key: str = ""
    sentence: str = ""
    edge: bool = False
    """No finding yet: somebody was met here, which is counted across applications"""


def tail_score(sigma: float) -> float:
    """Score 0..1 from the one-sided normal tail probability p of `sigma`: 1 - p**(1/8).

    The eighth root spreads the useful range: 3 sigma 0.56, 5 sigma 0.85, 6 sigma 0.93, 8 sigma 0.99; not a number: 0.
    """
    if not sigma > 0.0:
        return 0.0
    tail: float = (0.5 * math.erfc(sigma / math.sqrt(2.0))) ** 0.125
    return round(1.0 - tail, 4)


def severity_of(score: float) -> str:
    """Severity when the configuration names none: critical from 0.95 (6.8 sigma), warning from 0.8 (4.6 sigma), else info."""
    return "critical" if score >= 0.95 else "warning" if score >= 0.8 else "info"
