"""What the rules with memory share: a bounded number of keys inside an application, and how a detection names its key."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.facts import Fact
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

MAX_KEYS = 2_000
"""Keys of one rule at one application; beyond it the one that was quiet longest is forgotten."""
SWEEP_MS = 60_000
RULE_SCORE = 0.9
"""A broken rule is certain; how bad it is, the configured severity says."""

State = TypeVar("State")


class RuleDetector(Protocol):
    """A rule on one application: it is fed second by second, in event-time order."""

    tuning: Tuning

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Take one second of the application: its panes by model, this rule's facts, ids of detectors that found something in it."""
        ...

    def on_time(self, now_ms: int) -> Detection | None: ...

    def next_timer(self) -> int | None: ...

    def to_state(self) -> list[Any]: ...

    def from_state(self, state: Any) -> None: ...


class Keys(Generic[State]):
    """States by key, the ones that were quiet longest forgotten first."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.swept_ms = 0

    def touch(self, key: str, new: State) -> State:
        """The state of the key, `new` if there is none; it counts as the youngest from now on."""
        state = self.states.pop(key, new)
        self.states[key] = state
        if len(self.states) > MAX_KEYS:
            del self.states[next(iter(self.states))]
        return state

    def sweep_due(self, now_ms: int) -> bool:
        """Whether a minute has passed since the last sweep."""
        if now_ms - self.swept_ms < SWEEP_MS:
            return False
        self.swept_ms = now_ms
        return True


def rule_detection(
    config: DetectorConfig,
    by: str,
    key: str,
    *,
    sentence: str,
    window: tuple[int, int],
    detected_ms: int,
    anchor_ms: int,
    observed: float = float("nan"),
    limit: float = float("nan"),
    count: int = 0,
    samples: list[str] | None = None,
) -> Detection:
    """A detection of a rule: no baseline and no expected range but its limit."""
    return Detection(
        observed=observed,
        baseline=float("nan"),
        low=float("nan"),
        high=float("nan"),
        deviation=round(observed / limit, 3) if limit and limit == limit else float("nan"),
        threshold=limit,
        score=RULE_SCORE,
        severity=config.severity,
        window_start_ms=window[0],
        window_end_ms=window[1],
        detected_ms=detected_ms,
        anchor_ms=anchor_ms,
        count=count,
        samples=samples or [],
        user_id=key if by == "user" else "",
        model=key if by == "model" else "",
        key=f"{by} {key}" if by in ("session", "trace") else "",
        sentence=sentence,
    )
