"""Which partitions are due for a pulse, and with which event time: arithmetic on what the topics say, without Kafka."""

from __future__ import annotations

from collections.abc import Mapping

QUIET_S = 3.0
"""A partition must have been quiet this long. Shorter pauses belong to ordinary traffic."""

Partition = tuple[str, int]
"""(topic, number)"""


class PulseClock:
    """Follows the end offsets and the newest event time of the telemetry partitions. Times of the clock in seconds."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._ends: dict[Partition, int] = {}
        self._changed_s: dict[Partition, float] = {}
        self._newest_ms = -1
        self._newest_s = 0.0

    def observe(self, ends: Mapping[Partition, int], newest_ms: int, now_s: float) -> list[Partition]:
        """The partitions that get pulses now. `ends`: end offset of each; `newest_ms`: newest timestamp of all records, -1 while there is none."""
        for partition, end in ends.items():
            if end != self._ends.get(partition):
                self._ends[partition], self._changed_s[partition] = end, now_s
        if newest_ms > self._newest_ms:
            self._newest_ms, self._newest_s = newest_ms, now_s
        if newest_ms < 0:
            return []
        return [partition for partition in ends if now_s - self._changed_s[partition] >= self._quiet_s]

    def event_ms(self, now_s: float) -> int:
        """The event time of a pulse (epoch ms). Never ahead of the clock: telemetry that resumes with the present time must not be late for a pulse."""
        return min(self._newest_ms + round((now_s - self._newest_s) * 1000), round(now_s * 1000))

    def seconds_until(self, event_ms: int, now_s: float) -> float:
        """How long until pulses have that event time, or a little more; at most a second, since the clock may have been set back."""
        return min(1.0, max(0.0, (event_ms - self.event_ms(now_s) + 1) / 1000))

    def written(self, partition: Partition, offset: int) -> None:
        """A pulse lies at `offset`: the end behind it is no sign of telemetry."""
        if self._ends.get(partition) == offset:
            self._ends[partition] = offset + 1


def following(event_ms: int, step_ms: int, offset_ms: int = 0) -> int:
    """The first event time after `event_ms` that is a multiple of `step_ms`, and `offset_ms` more."""
    return ((event_ms - offset_ms) // step_ms + 1) * step_ms + offset_ms
