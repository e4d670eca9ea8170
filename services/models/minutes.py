"""Stored minutes (table sentinel.rollups_1m) as pane vectors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg

from sentinel.models.features import SUMS, Floats, vectors
from sentinel.models.scaling import key_mark
from sentinel.panes import HISTOGRAM_WORDS, unpack_histogram

MAX_ROWS = 500_000
_WORDS = tuple(f"latency_hist_{word}" for word in range(HISTOGRAM_WORDS))
_MINUTES: LiteralString = """
    SELECT tenant_id, application_id, {model}, extract(epoch FROM window_start)::bigint, {sums}
    FROM sentinel.rollups_1m
    WHERE window_start >= %(since)s AND window_start < %(until)s
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s) AND (%(application)s::text IS NULL OR application_id = %(application)s)
    GROUP BY 1, 2, 3, 4 HAVING sum(calls) > 0 ORDER BY 4 DESC, 1, 2, 3 LIMIT %(limit)s
"""
_TROUBLE: LiteralString = """
    SELECT tenant_id, application_id, coalesce(model, ''), extract(epoch FROM least(window_start, first_seen))::bigint,
           extract(epoch FROM greatest(window_end, last_seen))::bigint
    FROM sentinel.anomalies WHERE last_seen >= %(since)s AND first_seen < %(until)s AND status <> 'suppressed'
"""
AFTERMATH_S = 60
"""A minute after a reported anomaly is left out too."""


class StoredDataError(Exception):
    """Postgres cannot be read, or holds nothing to train on."""


@dataclass
class Minutes:
    """Rows sorted by key and time. `keys`: number of the key of each row, whose digest is `marks[number]` and whose name `names[number]`."""

    rows: Floats
    starts_s: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    calls: npt.NDArray[np.int64]
    marks: list[str]
    names: list[tuple[str, str, str]]
    troubled: int = 0
    limited: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, wanted: npt.NDArray[np.bool_]) -> Minutes:
        """The rows of a mask."""
        return Minutes(
            self.rows[wanted],
            self.starts_s[wanted],
            self.keys[wanted],
            self.calls[wanted],
            self.marks,
            self.names,
            self.troubled,
            self.limited,
        )


def stored_minutes(
    dsn: str,
    *,
    since: datetime,
    until: datetime,
    tenant: str | None = None,
    application: str | None = None,
    level: str = "model",
    skip_trouble: bool = True,
    limit: int = MAX_ROWS,
) -> Minutes:
    """The minutes with calls in [since, until), at most the newest `limit`; without those in which an anomaly was reported.

    Raises:
        StoredDataError: Postgres cannot be read, or there are none.
    """
    sums = ", ".join(f"sum({name})::bigint" for name in (*SUMS, *_WORDS))
    query = _MINUTES.replace("{sums}", sums).replace("{model}", "model" if level == "model" else "''")
    values = {"since": since, "until": until, "tenant": tenant, "application": application, "limit": limit}
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            found = connection.execute(query, values).fetchall()
            trouble = connection.execute(_TROUBLE, values).fetchall() if skip_trouble else []
    except psycopg.Error as error:
        raise StoredDataError(f"Postgres: {str(error).strip().splitlines()[0]}") from None
    if not found:
        whose = f" of tenant {tenant}" if tenant else ""
        raise StoredDataError(f"no stored minute{whose} between {since:%Y-%m-%d %H:%M} and {until:%Y-%m-%d %H:%M} UTC: nothing to train on")
    minutes = minutes_of([(tuple(row[:3]), int(row[3]), [int(value or 0) for value in row[4:]]) for row in found])
    minutes.limited = len(found) == limit
    if trouble:
        keep = ~_in_trouble(minutes, trouble)
        minutes.troubled = int((~keep).sum())
        minutes = minutes.only(keep)
    return minutes


def minutes_of(found: list[tuple[tuple[Any, ...], int, list[int]]]) -> Minutes:
    """From (tenant, application, model), minute (epoch s), and `SUMS` with the histogram's words behind them."""
    found = sorted(found, key=lambda item: (item[0], item[1]))
    numbers: dict[tuple[Any, ...], int] = {}
    keys = np.array([numbers.setdefault(key, len(numbers)) for key, _, _ in found], np.int64)
    table = np.array([values[: len(SUMS)] for _, _, values in found], np.int64).reshape(len(found), len(SUMS))
    histograms = np.array([unpack_histogram(values[len(SUMS) :]) for _, _, values in found], np.float64)
    names = [(str(tenant), str(application), str(model)) for tenant, application, model in numbers]
    return Minutes(
        vectors(table, histograms),
        np.array([start for _, start, _ in found], np.int64),
        keys,
        table[:, 0],
        [key_mark(*name) for name in names],
        names,
    )


def past(length_s: float, until: datetime | None = None) -> tuple[datetime, datetime]:
    """The last `length_s` seconds, up to now."""
    until = until or datetime.now(UTC)
    return until - timedelta(seconds=length_s), until


def _in_trouble(minutes: Minutes, trouble: list[tuple[Any, ...]]) -> npt.NDArray[np.bool_]:
    """Minutes that touch an anomaly of their application (of their model, when both name one)."""
    spans: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
    for tenant, application, model, begin, end in trouble:
        if begin is not None and end is not None:
            spans.setdefault((tenant, application), []).append((model, int(begin), int(end) + AFTERMATH_S))
    hit = np.zeros(len(minutes), bool)
    for number, (tenant, application, model) in enumerate(minutes.names):
        own = minutes.keys == number
        for other, begin, end in spans.get((tenant, application), []):
            if not other or not model or other == model:
                hit |= own & (minutes.starts_s + 60 > begin) & (minutes.starts_s < end)
    return hit
