"""When to write a pulse and with which event time: arithmetic on what the topics say, without Kafka."""

from __future__ import annotations

QUIET_S = 10.0
"""Telemetry must have been quiet this long. Shorter pauses belong to ordinary traffic."""


class PulseClock:
    """Follows the end offsets and the newest event time of telemetry. Times of the clock in seconds, event times in epoch ms."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._ends: dict[object, int] = {}
        self._changed_s: float | None = None
        self._newest_ms: int | None = None

    def observe(self, ends: dict[object, int], newest_ms: int | None, now_s: float) -> int | None:
        """The event time of the pulse that is due, or None.

        `ends`: end offset by partition; `newest_ms`: newest event time of telemetry, None while there is none.
        """
        if ends != self._ends or self._changed_s is None:
            self._ends, self._changed_s = dict(ends), now_s
        self._newest_ms = newest_ms
        quiet_s = now_s - self._changed_s
        if self._newest_ms is None or quiet_s < self._quiet_s:
            return None
        return min(self._newest_ms + round(quiet_s * 1000), round(now_s * 1000))
