"""Strategy `user_profile`: each user's minutes against his own past; who is too new for that, against the minutes of the others.

A minute's events, tokens and cost are compared on the log scale with an exponentially weighted mean and variance of the user's active minutes.
Minutes that are anomalous are not learned, until they have lasted `adapt_after`. The hours of the day in which a user is active are counted with
forgetting; an hour that he never was up at is an anomaly once he is known for `min_days` active days.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, tail_score
from sentinel.detection.detectors.behaviour import Users, behaviour_detection, params_of, user_rows
from sentinel.detection.facts import Fact
from sentinel.detection.sentences import duration, figure
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
HALF_LIFE = 240.0
"""Active minutes after which a minute counts half."""
PRIOR_SPREAD, PRIOR_MINUTES = 0.5, 4.0
"""A young profile is taken to wander by half a nat (a factor of 1.6) from minute to minute."""
RARE_HOUR = 0.002
HOUR_FADE = 0.97
"""Counts of hours fade by the active day: half is forgotten in 23 of them."""
_SUMS = ("events", "tokens", "cost")
SAMPLES = 3
"""Events of a user's minute that are remembered by their ids."""


class _Params(msgspec.Struct, frozen=True):
    metrics: tuple[str, ...] = ("events", "tokens", "cost", "hours")
    warmup_s: float = 3_600.0
    forget_after_s: float = 2_592_000.0
    max_users: int = 5_000
    repeat_s: float = 300.0
    min_minutes: int = 10
    threshold: float = 5.0
    min_ratio: float = 3.0
    min_events: int = 30
    min_tokens: int = 20_000
    min_cost: float = 0.5
    min_days: int = 5
    adapt_after_s: float = 1_800.0

    def floor(self, metric: str) -> float:
        """The value below which nothing is said."""
        return {"events": float(self.min_events), "tokens": float(self.min_tokens), "cost": self.min_cost}[metric]


class _Usual(msgspec.Struct, array_like=True):
    """Mean and variance of ln(1 + x / unit) with forgetting; `minutes` is the weight."""

    minutes: float = 0.0
    mean: float = 0.0
    square: float = 0.0

    def learn(self, value: float) -> None:
        fade = 0.5 ** (1.0 / HALF_LIFE)
        self.minutes = self.minutes * fade + 1.0
        step = (value - self.mean) / self.minutes
        self.square = self.square * fade + (value - self.mean) * (value - self.mean - step)
        self.mean += step

    def sigma(self, value: float) -> float:
        spread = (self.square + PRIOR_MINUTES * PRIOR_SPREAD**2) / (self.minutes + PRIOR_MINUTES)
        return (value - self.mean) / math.sqrt(spread * (1.0 + 1.0 / max(1.0, self.minutes)))


class _User(msgspec.Struct, array_like=True):
    first_ms: int
    usual: list[_Usual]
    hours: list[float]
    days: int = 0
    last_day: int = -1
    odd_since_ms: int = 0
    said_ms: int = 0


class UserProfileDetector:
    """All users of one application."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config, self.params = config, params_of(config, _Params)
        self.tuning = Tuning(level="application")
        self.dedup_ms = dedup_ms
        self._users: Users[_User] = Users(self.params.max_users, round(self.params.forget_after_s * 1000))
        self._peers = [_Usual() for _ in _SUMS]
        self._minute = -1
        self._sums: dict[str, list[float]] = {}
        self._events: dict[str, list[str]] = {}

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Add up the minute; judge the minute before when a new one begins."""
        minute = start_ms // MINUTE_MS
        said = self._close() if minute != self._minute and self._sums else []
        self._minute = minute
        for user, _, _, events, tokens, cost, event in user_rows(facts):
            sums = self._sums.get(user)
            if sums is None:
                if len(self._sums) >= self.params.max_users:
                    continue
                sums = self._sums[user] = [0.0, 0.0, 0.0]
                self._events[user] = []
            if len(self._events[user]) < SAMPLES:
                self._events[user].append(event)
            sums[0] += events
            sums[1] += tokens
            sums[2] += cost / 1e9
        return said

    def on_time(self, now_ms: int) -> Detection | None:
        """Minutes are judged when the next one begins."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def _close(self) -> list[Detection]:
        end_ms = (self._minute + 1) * MINUTE_MS
        said: list[Detection] = []
        learn: list[list[float]] = []
        for name, sums in sorted(self._sums.items()):
            user = self._users.get(name) or _User(end_ms - MINUTE_MS, [_Usual() for _ in _SUMS], [0.0] * 24)
            logs = [math.log1p(sums[0]), math.log1p(sums[1]), math.log1p(sums[2] * 1e3)]
            found = self._judge(name, user, sums, logs, end_ms)
            if found is None:
                user.odd_since_ms = 0
            else:
                user.odd_since_ms = user.odd_since_ms or end_ms
            if found is None or end_ms - user.odd_since_ms >= self.params.adapt_after_s * 1000:
                for usual, value in zip(user.usual, logs, strict=True):
                    usual.learn(value)
                learn.append(logs)
                self._learn_hour(user, end_ms)
            if found is not None and (not user.said_ms or end_ms - user.said_ms >= self.params.repeat_s * 1000):
                user.said_ms = end_ms
                said.append(found)
            self._users.put(name, user, end_ms)
        for logs in learn:
            for usual, value in zip(self._peers, logs, strict=True):
                usual.learn(value)
        self._sums, self._events = {}, {}
        return said

    def _judge(self, name: str, user: _User, sums: list[float], logs: list[float], end_ms: int) -> Detection | None:
        params = self.params
        known_s = (end_ms - user.first_ms) / 1000
        own = known_s >= params.warmup_s and user.usual[0].minutes >= params.min_minutes
        worst: Detection | None = None
        for place, metric in enumerate(_SUMS):
            usual = user.usual[place] if own else self._peers[place]
            if metric not in params.metrics or usual.minutes < params.min_minutes or sums[place] < params.floor(metric):
                continue
            sigma, expected = usual.sigma(logs[place]), math.expm1(usual.mean) / (1e3 if metric == "cost" else 1.0)
            if sigma < params.threshold or sums[place] < params.min_ratio * max(expected, 1e-9):
                continue
            score = tail_score(sigma)
            if worst is None or score > worst.score:
                past = f"from {duration(known_s)} of his own past" if own else "from the minutes of the others, since he is new"
                unit = " USD" if metric == "cost" else f" {metric}"
                worst = behaviour_detection(
                    self.config, user=name, at_ms=end_ms, window_ms=MINUTE_MS, observed=sums[place], baseline=expected,
                    high=max(params.floor(metric), params.min_ratio * expected), deviation=round(sigma, 3), threshold=params.threshold,
                    score=score, count=round(sums[0]), learned_s=known_s, samples=self._events[name],
                    sentence=f"{figure(sums[place])}{unit} in one minute, usual are {figure(expected)} {past}; {sigma:.1f} sigma",
                )  # fmt: skip
        return worst or (self._judge_hour(name, user, sums[0], end_ms) if "hours" in params.metrics and own else None)

    def _judge_hour(self, name: str, user: _User, events: float, end_ms: int) -> Detection | None:
        hour = (end_ms - MINUTE_MS) // HOUR_MS % 24
        total = sum(user.hours)
        # An hour beside one that he knows is no news.
        near = user.hours[hour - 1] + user.hours[hour] + user.hours[(hour + 1) % 24]
        if user.days < self.params.min_days or events < self.params.min_events or near > RARE_HOUR * total:
            return None
        return behaviour_detection(
            self.config, user=name, at_ms=end_ms, window_ms=MINUTE_MS, observed=events, baseline=0.0, count=round(events),
            samples=self._events[name],
            sentence=f"{figure(events)} events at {hour:02d} h UTC, an hour at which he was never active in {user.days} active days",
        )  # fmt: skip

    def _learn_hour(self, user: _User, end_ms: int) -> None:
        day, hour = (end_ms - MINUTE_MS) // DAY_MS, (end_ms - MINUTE_MS) // HOUR_MS % 24
        if day != user.last_day:
            user.days, user.last_day = user.days + 1, day
            user.hours = [count * HOUR_FADE for count in user.hours]
        user.hours[hour] += 1.0

    def to_state(self) -> list[Any]:
        """Profiles, the peers' usual, and the open minute."""
        return [STATE_VERSION, self._minute, self._sums, self._peers, self._users.to_state(), self._events]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        self._minute, sums, peers, users, *events = check_version(state, STATE_VERSION, type(self).__name__)
        self._sums = {name: list(values) for name, values in sums.items()}
        # What comes last came later than the version of the state.
        named = events[0] if events else {}
        self._events = {name: list(named.get(name, ())) for name in self._sums}
        self._peers = msgspec.convert(peers, list[_Usual], strict=False)
        self._users.restore(users, _User)
