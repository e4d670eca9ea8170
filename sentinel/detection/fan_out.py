"""Who spreads over applications: counted for a tenant as a whole, since applications live in different shards.

Detectors of strategy `entity_relationship` that watch `user_applications` report whom they meet at their application, once a window
(`Detection.edge`); here the applications of each user, or API key, are counted. A window is learned when the one after the next begins, since
applications reach a boundary one after the other.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import msgspec

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.anomalies import to_anomaly
from sentinel.detection.detectors.behaviour import behaviour_detection
from sentinel.detection.detectors.entity_relationship import FADE, MOST_USERS, params_of_relations, score_beyond
from sentinel.detection.sentences import duration, figure
from sentinel.timestamps import from_rfc3339

MOST_APPLICATIONS = 1_000
_OPEN_WINDOWS = 2


class _Spread(msgspec.Struct, array_like=True):
    """What is kept of one detector: by window, each one's applications and who was said; windows and the widest of each, exponentially forgotten."""

    windows: dict[int, dict[str, list[str]]] = {}
    said: dict[int, list[str]] = {}
    weight: float = 0.0
    usual: float = 0.0
    window_ms: int = 0


class FanOuts:
    """All of one tenant."""

    def __init__(self, state: Any = None) -> None:
        self._spreads = msgspec.convert(state or {}, dict[str, _Spread], strict=False)

    def keep(self, detectors: Container[str]) -> None:
        """Forget what detectors counted that there are no more."""
        self._spreads = {name: spread for name, spread in self._spreads.items() if name in detectors}

    def take(self, edge: Anomaly, config: DetectorConfig, dedup_ms: int) -> Anomaly | None:
        """Somebody was met at an application; an anomaly when these are too many for him."""
        params = params_of_relations(config)
        window_ms = round(params.window_s * 1000)
        at_ms = from_rfc3339(edge.context["window_end"])
        number = (at_ms - 1) // window_ms
        spread = self._spreads.get(config.id)
        if spread is None or spread.window_ms != window_ms:
            # Windows of another length say nothing about these.
            spread = self._spreads[config.id] = _Spread(window_ms=window_ms)
        if spread.windows and number <= max(spread.windows) - _OPEN_WINDOWS:
            return None
        self._learn(spread, number, params.min_applications, params.min_ratio)
        who = edge.user_id or str(edge.labels.get("key", ""))
        users = spread.windows.setdefault(number, {})
        if who not in users and len(users) >= MOST_USERS:
            return None
        applications = users.setdefault(who, [])
        if edge.application_id in applications or len(applications) >= MOST_APPLICATIONS:
            return None
        applications.append(edge.application_id)
        usual = max(1.0, spread.usual / spread.weight if spread.weight else 1.0)
        limit = max(float(params.min_applications), params.min_ratio * usual)
        said = spread.said.setdefault(number, [])
        warm = spread.weight >= (1.0 - FADE**params.min_windows) / (1.0 - FADE) - 1e-9
        if not warm or len(applications) < limit or who in said:
            return None
        said.append(who)
        kind = "user" if edge.user_id else "API key"
        found = behaviour_detection(
            config, user=edge.user_id or who.removeprefix("API key "), at_ms=at_ms, window_ms=at_ms % window_ms or window_ms,
            observed=float(len(applications)), baseline=usual, high=limit, deviation=round(len(applications) / usual, 3),
            threshold=params.min_ratio, count=len(applications), score=score_beyond(len(applications), limit),
            samples=edge.context["sample_events"],
            sentence=f"{len(applications)} applications within {duration(params.window_s)}, the busiest {kind} has {figure(usual)}: "
            + ", ".join(applications[-8:]),
        )  # fmt: skip
        return to_anomaly(config, edge.tenant_id, edge.application_id, "", found, edge.config_version, dedup_ms)

    def _learn(self, spread: _Spread, number: int, least: int, ratio: float) -> None:
        """Windows that are complete; who was said does not become the usual at once."""
        for old in sorted(window for window in spread.windows if window <= number - _OPEN_WINDOWS):
            users, said = spread.windows.pop(old), spread.said.pop(old, [])
            widest = max((len(applications) for who, applications in users.items() if who not in said), default=1)
            most = max(float(least), ratio * spread.usual / spread.weight) if spread.weight else float("inf")
            spread.weight = spread.weight * FADE + 1.0
            spread.usual = spread.usual * FADE + min(float(widest), most)

    def to_state(self) -> Any:
        """What `FanOuts` takes to go on."""
        return self._spreads
