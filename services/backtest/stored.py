"""Stored minutes (table sentinel.rollups_1m) as panes of a minute, in order, without holding them all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any, LiteralString

import psycopg

from sentinel.backtest.minutes import MINUTE_MS
from sentinel.panes import HISTOGRAM_GROWTH, HISTOGRAM_WORDS, LOG_SCALE, Pane, histogram_upper_ms, unpack_histogram

SUMS = (
    "events", "prompts", "calls", "errors", "latency_count", "latency_sum_us", "token_count", "token_sum", "cost_count", "cost_sum_nano",
)  # fmt: skip
MAXIMA = ("latency_max_us", "token_max", "cost_max_nano")
WORDS = tuple(f"latency_hist_{word}" for word in range(HISTOGRAM_WORDS))
BATCH = 5_000
_MINUTES: LiteralString = """
    SELECT tenant_id, application_id, model, extract(epoch FROM window_start)::bigint, {values}
    FROM sentinel.rollups_1m
    WHERE window_start >= %(since)s AND window_start < %(until)s
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s) AND (%(application)s::text IS NULL OR application_id = %(application)s)
    GROUP BY 1, 2, 3, 4 ORDER BY 4, 1, 2, 3
"""
_RAISED: LiteralString = """
    SELECT detector_id, count(*) FROM sentinel.anomalies
    WHERE detected_at >= %(since)s AND detected_at < %(until)s
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s) AND (%(application)s::text IS NULL OR application_id = %(application)s)
    GROUP BY 1
"""
_LOG_MIDDLES = [math.log1p(histogram_upper_ms(bucket) / math.sqrt(HISTOGRAM_GROWTH)) for bucket in range(2 * HISTOGRAM_WORDS - 1)]
_LOG_MIDDLES.append(math.log1p(histogram_upper_ms(2 * HISTOGRAM_WORDS - 2)))


class StoreError(Exception):
    """Postgres cannot be read; the text says why."""


@contextmanager
def stored_panes(
    dsn: str, since: datetime, until: datetime, tenant: str | None = None, application: str | None = None
) -> Iterator[Iterator[list[Pane]]]:
    """The panes of one minute after the other, on-time and late events together. Raises StoreError."""
    sums = [f"coalesce(sum({name}), 0)::bigint" for name in (*SUMS, *WORDS)] + [f"coalesce(max({name}), 0)" for name in MAXIMA]
    query = _MINUTES.replace("{values}", ", ".join(sums))
    values = {"since": since, "until": until, "tenant": tenant, "application": application}
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection, connection.cursor("backtest") as cursor:
            cursor.itersize = BATCH
            cursor.execute(query, values)
            yield ([_pane(row) for row in rows] for _, rows in groupby(cursor, key=lambda row: row[3]))
    except psycopg.Error as error:
        raise StoreError(f"Postgres: {str(error).strip().splitlines()[0]}") from None


def raised_then(dsn: str, since: datetime, until: datetime, tenant: str | None = None, application: str | None = None) -> dict[str, int]:
    """How many anomalies the job recorded in the time, by detector. Raises StoreError."""
    values = {"since": since, "until": until, "tenant": tenant, "application": application}
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            return {str(name): int(count) for name, count in connection.execute(_RAISED, values)}
    except psycopg.Error as error:
        raise StoreError(f"Postgres: {str(error).strip().splitlines()[0]}") from None


def _pane(row: tuple[Any, ...]) -> Pane:
    tenant, application, model, start_s = row[:4]
    numbers = [int(value) for value in row[4:]]
    histogram = unpack_histogram(numbers[len(SUMS) : len(SUMS) + HISTOGRAM_WORDS])
    pane = Pane(str(tenant), str(application), str(model), int(start_s) * 1000, MINUTE_MS, latency_hist=histogram)
    for name, number in zip((*SUMS, *MAXIMA), numbers[: len(SUMS)] + numbers[len(SUMS) + HISTOGRAM_WORDS :], strict=True):
        setattr(pane, name, number)
    # Rollups hold no sums of logarithms. Those of latency follow from its mean and the histogram's spread, the others from the mean alone.
    variance = _log_variance(histogram)
    pane.latency_log_sum, pane.latency_log_sumsq = _logs(pane.latency_count, pane.latency_sum_us / 1e3, variance)
    pane.token_log_sum, pane.token_log_sumsq = _logs(pane.token_count, pane.token_sum, 0.0)
    pane.cost_log_sum, pane.cost_log_sumsq = _logs(pane.cost_count, pane.cost_sum_nano / 1e3, 0.0)
    return pane


def _log_variance(histogram: list[int]) -> float:
    count = sum(histogram)
    if count < 2:
        return 0.0
    mean = sum(n * middle for n, middle in zip(histogram, _LOG_MIDDLES, strict=True)) / count
    return sum(n * (middle - mean) ** 2 for n, middle in zip(histogram, _LOG_MIDDLES, strict=True)) / count


def _logs(count: int, total: float, variance: float) -> tuple[int, int]:
    """Sums of thousandths of nats and of their squares, as if the values were log-normal with this mean and variance."""
    if count == 0:
        return 0, 0
    mean = max(0.0, math.log1p(total / count) - variance / 2)
    return round(count * mean * LOG_SCALE), round(count * (mean * mean + variance) * LOG_SCALE * LOG_SCALE)
