"""Stored minutes for training: what an hour or more of the synthetic applications leaves in `rollups_1m`."""

from __future__ import annotations

import numpy as np
import psycopg

from sentinel.models.features import SUMS
from sentinel.panes import BITS_PER_BUCKET, HISTOGRAM_WORDS, Pane
from services.models.minutes import Minutes, minutes_of
from tests.detection.synthetic import MODELS, Application, applications, pane_of

FIRST_S = 1_800_000_000
MINUTES = 180


def minute_panes(apps: list[Application], count: int, rng: np.random.Generator) -> list[Pane]:
    """One pane a minute, application and model, as `tests.detection.synthetic` would add them up."""
    found = []
    for app in apps:
        for minute in range(count):
            calls = int(rng.poisson(60 * app.rate))
            model = rng.random(calls) < 0.4
            tokens = np.maximum(1, rng.lognormal(np.log(app.tokens), 0.8, calls)).astype(int)
            latency, nano = rng.lognormal(np.log(app.latency_ms), 0.5, calls), np.rint(tokens * app.usd_per_token * 1e9).astype(int)
            for number, name in enumerate(MODELS):
                own = model == bool(number)
                if own.any():
                    errors = int(rng.binomial(int(own.sum()), 0.01))
                    found.append(pane_of(app.name, name, (FIRST_S + 60 * minute) * 1000, latency[own], tokens[own], nano[own], errors))
    return found


def words(pane: Pane) -> list[int]:
    hist = pane.latency_hist
    return [hist[2 * word] + (hist[2 * word + 1] << BITS_PER_BUCKET) for word in range(HISTOGRAM_WORDS)]


def as_minutes(panes: list[Pane]) -> Minutes:
    return minutes_of(
        [((p.tenant_id, p.application_id, p.model), p.start_ms // 1000, [*(getattr(p, name) for name in SUMS), *words(p)]) for p in panes]
    )


def store(dsn: str, panes: list[Pane], shift_s: int = 0) -> None:
    """Into Postgres, moved in time by `shift_s`."""
    columns = [
        "tenant_id",
        "application_id",
        "model",
        "window_start",
        "part",
        *SUMS,
        *(f"latency_hist_{word}" for word in range(HISTOGRAM_WORDS)),
    ]
    query = f"COPY sentinel.rollups_1m ({', '.join(columns)}) FROM STDIN"
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor, cursor.copy(query) as copy:  # type: ignore[arg-type]
        for pane in panes:
            start = np.datetime64(pane.start_ms // 1000 + shift_s, "s")
            sums = (getattr(pane, name) for name in SUMS)
            copy.write_row([pane.tenant_id, pane.application_id, pane.model, f"{start}Z", "on_time", *sums, *words(pane)])


def world(seed: int = 4, count: int = 3) -> tuple[list[Application], list[Pane]]:
    rng = np.random.default_rng(seed)
    apps = applications(count, rng)
    return apps, minute_panes(apps, MINUTES, rng)
