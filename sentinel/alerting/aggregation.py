"""When a definition's aggregation is reached: count, avg, sum, max or min over a sliding window in event time."""

from __future__ import annotations

from sentinel.alerting.state import Sample
from sentinel.config.runtime import Definition

MAX_SAMPLES = 256
"""Samples kept in a window; more are folded into the oldest, which makes the window's edge coarse but loses no occurrence."""


def add(samples: list[Sample], sample: Sample, window_ms: int) -> None:
    """Put a sample in and let go of what lies `window_ms` or more before the newest."""
    samples.append(sample)
    samples.sort(key=lambda entry: entry.at)
    edge = samples[-1].at - window_ms
    samples[:] = [entry for entry in samples if entry.at > edge]
    if len(samples) > MAX_SAMPLES:
        oldest, second = samples[0], samples.pop(1)
        count = oldest.count + second.count
        if oldest.value is not None and second.value is not None and count:
            oldest.value = (oldest.value * oldest.count + second.value * second.count) / count
        oldest.count, oldest.at, oldest.first_seen = count, second.at, min(oldest.first_seen, second.first_seen)


def reached(samples: list[Sample], definition: Definition) -> bool:
    """Whether the function over the window is at or above the threshold.

    `count` counts occurrences. The others work on the observed value of the anomalies' metric, each occurrence having the value of the
    record that reported it; anomalies without an observed value take no part.
    """
    function, threshold = definition.aggregation_function, definition.aggregation_threshold
    if function == "count":
        return sum(sample.count for sample in samples) >= threshold
    valued = [(sample.value, sample.count) for sample in samples if sample.value is not None and sample.count]
    if not valued:
        return False
    if function == "max":
        return max(value for value, _ in valued) >= threshold
    if function == "min":
        return min(value for value, _ in valued) >= threshold
    total = sum(value * count for value, count in valued)
    return total >= threshold if function == "sum" else total / sum(count for _, count in valued) >= threshold
