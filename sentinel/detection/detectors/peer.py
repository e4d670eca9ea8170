"""Peer comparison: one user of an application far above what he, and the busiest user at all, usually do."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, severity_of, tail_score
from sentinel.detection.episode import Episode
from sentinel.detection.state import check_version
from sentinel.detection.tuning import tuning_of
from sentinel.panes import UserPane

STATE_VERSION = 1
RECENT = 6
"""User panes (10 s each) that evidence against one user may add up over."""
KNOWN_USERS = 24
UNKNOWN_SHARE = 0.6
"""A user who was not the busiest had fewer events than the busiest; he is credited with this part of them."""
PRIOR = 4.0
EVENTS_OF_A_CALL = 2.0
"""A request and its answer come together, so that counts of events vary twice as much as counts of calls."""


class PeerDetector:
    """The busiest user of the last user panes against his own expected share and the application's history.

    Two questions must both be answered with yes, each with `threshold` sigma and `min_ratio`:
    is his share of the events far above the share expected of him (the peers' growth does not accuse him), and is his number of
    events far above what the busiest user has (a pause of the peers does not accuse him either)? Expected share of a user: of the panes
    in which he was the busiest his own count, of the others `UNKNOWN_SHARE` of the busiest one's. Evidence adds up over at most one
    minute of panes that he leads. Only the busiest user of a pane is known, so somebody who never leads cannot be found.
    """

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.tuning = tuning_of(config)
        self.fixed_severity = next((action.severity for action in config.actions if action.severity), None)
        self.dedup_ms = dedup_ms
        self.episode = Episode()
        self._user = ""
        self._first_ms = 0
        # Exponentially forgotten: panes, events, the busiest user's events, excess dispersion of counts and shares.
        self._panes = self._events = self._top = self._share_excess = self._count_excess = 0.0
        self._known: dict[str, float] = {}
        # The last panes, newest last: [start_ms, events, top_user, top_user_events, learnable].
        self._recent: list[list[Any]] = []

    def on_pane(self, pane: UserPane) -> Detection | None:
        """Take one user pane; the detection that is due, if any."""
        start_ms, now_ms = pane.start_ms, pane.end_ms
        if not self._first_ms:
            self._first_ms = start_ms
        oldest = now_ms - RECENT * pane.width_ms
        while self._recent and (self._recent[0][0] < oldest or len(self._recent) >= RECENT):
            self._learn(self._recent.pop(0))
        events, top = max(0, pane.events), max(0, min(pane.top_user_events, pane.events))
        current = [start_ms, events, pane.top_user, top, True]
        warm = self._panes >= 1.0 and now_ms - self._first_ms >= self.tuning.warmup_s * 1000
        if not warm:
            self._learn(current)
            return None
        self._recent.append(current)
        if events == 0 or pane.users < 2:
            self._calm()
            return None
        return self._evaluate(pane)

    def on_time(self, now_ms: int) -> Detection | None:
        return None

    def next_timer(self) -> int | None:
        return None

    def _evaluate(self, pane: UserPane) -> Detection | None:
        tuning = self.tuning
        user = pane.top_user
        share = self._expected_share(user)
        base_count = max(0.5, (self._top + 1.0) / (self._panes + 0.5)) * share / max(1e-9, self._expected_share(""))
        base_count *= UNKNOWN_SHARE
        best: tuple[float, float, int, int, int] | None = None
        count = events = panes = 0
        for start_ms, all_events, leader, leading, _ in reversed(self._recent):
            if leader != user:
                continue
            count, events, panes = count + leading, events + all_events, panes + 1
            if count < tuning.min_count or count < tuning.minimum:
                continue
            share_sigma = _binomial_sigma(count, events, share, self._events) / math.sqrt(self._dispersion(self._share_excess))
            count_sigma = _poisson_sigma(count, base_count * panes, self._panes / panes) / math.sqrt(self._dispersion(self._count_excess))
            ratio = min(count / (events * share), count / (base_count * panes))
            sigma = min(share_sigma, count_sigma)
            if ratio >= tuning.effective_ratio and (best is None or sigma > best[0]):
                best = (sigma, ratio, count, start_ms, panes)
        # The newest pane must look more like the trouble than like the usual (half-way on the log scale).
        goes_on = best is not None and pane.top_user_events >= math.sqrt(best[2] / best[4] * base_count)
        if best is None or best[0] < tuning.effective_threshold or not goes_on:
            self._calm()
            return None
        return self._anomalous(pane, best, base_count)

    def _anomalous(self, pane: UserPane, best: tuple[float, float, int, int, int], base_count: float) -> Detection | None:
        tuning, episode, now_ms = self.tuning, self.episode, pane.end_ms
        sigma, _, count, window_start, panes = best
        for recent in self._recent:
            recent[4] = False
        if episode.streak and self._user != pane.top_user:
            episode.calm()
        self._user = pane.top_user
        if episode.lasted_ms(now_ms) >= tuning.adapt_after_s * 1000:
            self._relearn(now_ms)
            return None
        if not episode.anomalous(pane.start_ms, now_ms, tuning.consecutive, round(tuning.repeat_s * 1000), self.dedup_ms):
            return None
        score = tail_score(sigma)
        high = base_count * tuning.effective_ratio
        return Detection(
            observed=count / panes,
            baseline=base_count,
            low=0.0,
            high=max(high, tuning.minimum),
            deviation=round(sigma, 3),
            threshold=round(tuning.effective_threshold, 3),
            score=score,
            severity=episode.escalate(self.fixed_severity or severity_of(score)),
            window_start_ms=window_start,
            window_end_ms=now_ms,
            detected_ms=now_ms,
            anchor_ms=episode.anchor_ms,
            count=count,
            user_id=pane.top_user,
            learned_s=min(tuning.window_s, self._panes * pane.width_ms / 1000.0),
        )

    def _calm(self) -> None:
        if self.episode.calm():
            # A reported episode is over: its panes are no evidence for another one.
            self._recent = [recent for recent in self._recent if recent[4]]
        self._user = ""

    def _dispersion(self, excess: float) -> float:
        return max(EVENTS_OF_A_CALL, (excess + PRIOR) / (self._panes + PRIOR))

    def _expected_share(self, user: str) -> float:
        """Share of the events that this user may have; the empty user stands for one who never led."""
        led = self._known.get(user, 0.0)
        credited = UNKNOWN_SHARE * self._top + (1.0 - UNKNOWN_SHARE) * led
        return min(0.98, max(0.01, (credited + 1.0) / (self._events + 4.0)))

    def _learn(self, pane: list[Any]) -> None:
        _, events, user, top, learnable = pane
        if not learnable:
            return
        fade: float = 0.5 ** (self.tuning.evaluation_s / self.tuning.window_s)
        if self._panes >= 2.0 and events:
            share = min(0.98, max(0.01, self._top / max(1.0, self._events)))
            mean = max(0.5, self._top / self._panes)
            self._share_excess = self._share_excess * fade + min(9.0, (top - events * share) ** 2 / (events * share * (1.0 - share)))
            self._count_excess = self._count_excess * fade + min(9.0, (top - mean) ** 2 / mean)
        else:
            self._share_excess += 1.0
            self._count_excess += 1.0
        self._panes = self._panes * fade + 1.0
        self._events = self._events * fade + events
        self._top = self._top * fade + top
        self._known = {name: led * fade for name, led in self._known.items()}
        self._known[user] = self._known.get(user, 0.0) + top
        if len(self._known) > KNOWN_USERS:
            del self._known[min(self._known, key=lambda name: (self._known[name], name))]

    def _relearn(self, now_ms: int) -> None:
        self._panes = self._events = self._top = self._share_excess = self._count_excess = 0.0
        self._known, self._recent = {}, []
        self._first_ms = now_ms
        self._calm()

    def to_state(self) -> list[Any]:
        return [
            STATE_VERSION,
            self.episode,
            [self._user, self._first_ms],
            [self._panes, self._events, self._top, self._share_excess, self._count_excess],
            self._known,
            self._recent,
        ]

    def from_state(self, state: Any) -> None:
        episode, place, sums, known, recent = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode = msgspec.convert(episode, Episode)
        self._user, self._first_ms = place
        self._panes, self._events, self._top, self._share_excess, self._count_excess = sums
        self._known = dict(known)
        self._recent = [list(pane) for pane in recent]


def _binomial_sigma(hits: float, count: float, share: float, base: float) -> float:
    """Signed root of twice the log-likelihood ratio against a share known from `base` events (0 when not above it)."""
    if count <= 0 or hits <= count * share:
        return 0.0
    misses = count - hits
    gain = hits * math.log(hits / (count * share))
    if misses > 0:
        gain += misses * math.log(misses / (count * (1.0 - share)))
    # A share known from few events is worth less.
    return math.sqrt(max(0.0, 2.0 * gain) / (1.0 + count / max(1.0, base)))


def _poisson_sigma(count: float, expected: float, base_windows: float) -> float:
    if count <= expected:
        return 0.0
    gain = count * math.log(count / expected) - (count - expected)
    return math.sqrt(max(0.0, 2.0 * gain) / (1.0 + 1.0 / max(0.1, base_windows)))
