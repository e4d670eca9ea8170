"""When a failed delivery is tried again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Response = Literal["200", "400", "429", "500", "timeout"]
MIN_FLUSH_TIMEOUT_MS = 10_000
_RETRIES_429 = frozenset({"pagerduty", "opsgenie", "jira", "incidentio"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Pauses between attempts (without jitter), and how long one may take.

    Attributes:
        first_ms, factor, longest_ms: the pause before the second attempt, its growth, its limit.
        retries: attempts after the first; None: until the flush ends.
        attempt_ms: longest attempt; None: until the flush ends.
        every_429: 429 is tried again for every type, else only for those that Alertmanager tries again.
    """

    first_ms: float
    factor: float
    longest_ms: float
    retries: int | None
    attempt_ms: int | None
    every_429: bool

    def pause_ms(self, attempt: int) -> int:
        """Pause after the attempt (counted from 1)."""
        return round(min(self.first_ms * self.factor ** (attempt - 1), self.longest_ms))

    def again(self, response: Response, attempt: int, receiver_type: str) -> bool:
        """Whether an attempt that was answered so is followed by another."""
        if self.retries is not None and attempt > self.retries:
            return False
        if response == "429":
            return self.every_429 or receiver_type in _RETRIES_429
        return response in ("500", "timeout")


OURS = RetryPolicy(1_000, 2.0, 60_000, retries=5, attempt_ms=10_000, every_429=True)
"""The dispatcher's: five times, 1 s to 60 s, doubled each time."""

ALERTMANAGER = RetryPolicy(500, 1.5, 60_000, retries=None, attempt_ms=None, every_429=False)
"""As long as the flush lasts, from half a second up to a minute."""


def flush_timeout_ms(group_interval_ms: int) -> int:
    """How long one flush may try: until the next one, at least ten seconds."""
    return max(group_interval_ms, MIN_FLUSH_TIMEOUT_MS)
