"""Synthetic panes: applications with log-normal latency and tokens, Zipf-like users, and trouble put in at known times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sentinel.panes import Pane, UserPane, histogram_bucket

START_MS = 1_800_000_000_000
MODELS = ("gpt-4", "claude-3")


class Trouble(NamedTuple):
    """One injected trouble: `size` is the factor (for errors the share; for silence unused), seconds from the start."""

    application: str
    kind: str
    begin_s: int
    size: float
    length_s: int = 60
    user: int = 0


class Application(NamedTuple):
    name: str
    rate: float
    latency_ms: float
    tokens: float
    usd_per_token: float
    users: int = 20


def applications(count: int, rng: np.random.Generator, least: float = 2.0, most: float = 8.0) -> list[Application]:
    return [
        Application(f"app-{n:02d}", rng.uniform(least, most), rng.uniform(300, 2500), rng.uniform(300, 2000), rng.uniform(2e-6, 4e-5))
        for n in range(count)
    ]


def panes(
    app: Application, seconds: int, rng: np.random.Generator, troubles: list[Trouble]
) -> Iterator[tuple[int, list[Pane], UserPane | None]]:
    """For each second: its number, its panes, and the user pane that ends with it."""
    troubles = [trouble for trouble in troubles if trouble.application == app.name]
    shares = 1.0 / np.arange(1, app.users + 1)
    shares /= shares.sum()
    user_counts = np.zeros(app.users, dtype=int)
    for second in range(seconds):
        size = {t.kind: t for t in troubles if t.begin_s <= second < t.begin_s + t.length_s}
        rate, weights = app.rate, shares
        if "user" in size:
            weights = shares.copy()
            weights[size["user"].user] *= size["user"].size
            rate *= weights.sum()
            weights = weights / weights.sum()
        if "rate" in size:
            rate *= size["rate"].size
        calls = 0 if "silence" in size else int(rng.poisson(rate))
        latency = rng.lognormal(np.log(app.latency_ms), 0.5, calls) * (size["latency"].size if "latency" in size else 1.0)
        tokens = np.maximum(1, rng.lognormal(np.log(app.tokens), 0.8, calls) * (size["tokens"].size if "tokens" in size else 1.0)).astype(
            int
        )
        nano = np.rint(tokens * app.usd_per_token * 1e9 * (size["cost"].size if "cost" in size else 1.0)).astype(int)
        failed = rng.random(calls) < (size["errors"].size if "errors" in size else 0.01)
        model = (rng.random(calls) < 0.4).astype(int)
        if calls:
            user_counts += np.bincount(rng.choice(app.users, calls, p=weights), minlength=app.users)
        found = [
            pane_of(
                app.name,
                MODELS[m],
                START_MS + second * 1000,
                latency[model == m],
                tokens[model == m],
                nano[model == m],
                int(failed[model == m].sum()),
            )
            for m in (0, 1)
            if (model == m).any()
        ]
        user_pane = None
        if second % 10 == 9 and user_counts.sum():
            top = int(user_counts.argmax())
            user_pane = UserPane(
                "acme",
                app.name,
                START_MS + (second - 9) * 1000,
                10_000,
                int((user_counts > 0).sum()),
                int(user_counts.sum()),
                f"user-{top}",
                int(user_counts[top]),
            )
        if second % 10 == 9:
            user_counts = np.zeros(app.users, dtype=int)
        yield second, found, user_pane


def pane_of(application: str, model: str, start_ms: int, latency: np.ndarray, tokens: np.ndarray, nano: np.ndarray, errors: int) -> Pane:
    """One pane from the calls of a second (latency in ms, cost in nano-USD)."""
    pane = Pane("acme", application, model, start_ms)
    pane.calls = pane.latency_count = pane.token_count = pane.cost_count = len(latency)
    pane.events, pane.prompts, pane.errors = 2 * len(latency), len(latency), errors
    pane.first_event = f"{application}-{model}-{start_ms}-0"
    log_latency, log_tokens, log_cost = (np.rint(1000 * np.log1p(values)).astype(int) for values in (latency, tokens, nano / 1000))
    pane.latency_sum_us, pane.latency_log_sum, pane.latency_log_sumsq = (
        int((latency * 1000).astype(int).sum()),
        int(log_latency.sum()),
        int((log_latency**2).sum()),
    )
    pane.token_sum, pane.token_log_sum, pane.token_log_sumsq = int(tokens.sum()), int(log_tokens.sum()), int((log_tokens**2).sum())
    pane.cost_sum_nano, pane.cost_log_sum, pane.cost_log_sumsq = int(nano.sum()), int(log_cost.sum()), int((log_cost**2).sum())
    pane.latency_max_us, pane.latency_max_event = int(latency.max() * 1000), f"{application}-{model}-{start_ms}-{int(latency.argmax())}"
    pane.token_max, pane.token_max_event = int(tokens.max()), f"{application}-{model}-{start_ms}-{int(tokens.argmax())}"
    pane.cost_max_nano, pane.cost_max_event = int(nano.max()), f"{application}-{model}-{start_ms}-{int(nano.argmax())}"
    pane.latency_hist = [0] * 36
    for value in latency:
        pane.latency_hist[histogram_bucket(float(value))] += 1
    return pane
