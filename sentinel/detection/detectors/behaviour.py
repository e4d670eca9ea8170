"""What the behavioural detectors share: users in bounded number that are forgotten when quiet, and how a detection names one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.facts import Fact
from sentinel.events.model import UNKNOWN_MODEL

SWEEP_MS = 3_600_000

Params = TypeVar("Params")
User = TypeVar("User")


class Did(NamedTuple):
    """What a user did in a second with one model and from one region."""

    user: str
    model: str
    """Empty when it is not known."""
    region: str
    events: int
    tokens: int
    cost_nano: int
    event: str
    """The id of one of the events."""


def user_rows(facts: list[Fact]) -> Iterator[Did]:
    """The rows of a second, one a user, model and region, in an order that does not depend on arrival."""
    rows: dict[tuple[str, str, str], tuple[int, int, int, str]] = {}
    for fact in facts:
        for (user, model, region, events, tokens, cost), event in zip(fact.users, fact.events or [""] * len(fact.users), strict=True):
            key = (user, "" if model == UNKNOWN_MODEL else model, region)
            known = rows.get(key, (0, 0, 0, event))
            rows[key] = (known[0] + events, known[1] + tokens, known[2] + cost, min(known[3], event))
    for key in sorted(rows):
        events, tokens, cost, event = rows[key]
        yield Did(*key, events, tokens, cost, event)


def params_of(config: DetectorConfig, kind: type[Params]) -> Params:
    """The settings of a detector. Raises ValueError with its id when they are of another shape."""
    try:
        return msgspec.convert(config.params, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"detector {config.id!r}: {error}") from error


class Users(Generic[User]):
    """States by user. The order is that of last use: who was quiet longest stands first and goes first."""

    def __init__(self, most: int, forget_ms: int) -> None:
        self._most, self._forget_ms = most, forget_ms
        self.states: dict[str, User] = {}
        self.seen: dict[str, int] = {}

    def get(self, user: str) -> User | None:
        """The user's state, if he is known."""
        return self.states.get(user)

    def put(self, user: str, state: User, now_ms: int) -> None:
        """Keep the user's state as the youngest."""
        self.states.pop(user, None)
        self.seen.pop(user, None)
        self.states[user] = state
        self.seen[user] = now_ms
        while len(self.states) > self._most:
            self._forget(next(iter(self.states)))
        # One look a call keeps the oldest from staying for ever.
        oldest = next(iter(self.seen))
        if now_ms - self.seen[oldest] > self._forget_ms:
            self._forget(oldest)

    def _forget(self, user: str) -> None:
        del self.states[user]
        del self.seen[user]

    def to_state(self) -> list[Any]:
        """Name, last use and state, oldest first."""
        return [[user, self.seen[user], state] for user, state in self.states.items()]

    def restore(self, rows: Any, kind: type[User]) -> None:
        """Take over rows of `to_state`."""
        for user, seen_ms, state in rows:
            self.states[user] = msgspec.convert(state, kind, strict=False)
            self.seen[user] = seen_ms


def behaviour_detection(
    config: DetectorConfig,
    *,
    sentence: str,
    at_ms: int,
    window_ms: int,
    user: str = "",
    observed: float = float("nan"),
    baseline: float = float("nan"),
    high: float = float("nan"),
    deviation: float = float("nan"),
    threshold: float = float("nan"),
    score: float = 0.8,
    count: int = 0,
    learned_s: float = 0.0,
    key: str = "",
    samples: Sequence[str] = (),
) -> Detection:
    """A detection about a user, or about the application when no user is named. Of API keys, `user` is the key's id. `samples` are ids of events."""
    if user and config.params.get("entity") == "api_key":
        user, key = "", f"API key {user} {key}".rstrip()
    return Detection(
        observed=observed,
        baseline=baseline,
        low=0.0 if high == high else float("nan"),
        high=high,
        deviation=deviation,
        threshold=threshold,
        score=score,
        severity=config.severity,
        window_start_ms=at_ms - window_ms,
        window_end_ms=at_ms,
        detected_ms=at_ms,
        anchor_ms=at_ms - window_ms,
        count=count,
        samples=[event for event in samples if event],
        user_id=user,
        learned_s=learned_s,
        key=key,
        sentence=sentence,
    )
