"""The life of one occurrence at one key and detector: how many evaluations in a row, when it is said again, when it is the new normal."""

from __future__ import annotations

import msgspec

from sentinel.detection.detection import SEVERITIES


class Episode(msgspec.Struct, array_like=True):
    """`streak` anomalous evaluations so far (0: calm). The anchor is the first event time that ids are made from."""

    streak: int = 0
    started_ms: int = 0
    anchor_ms: int = 0
    emitted_ms: int = 0
    severity: int = 0

    def anomalous(self, first_ms: int, now_ms: int, consecutive: int, repeat_ms: int, dedup_ms: int) -> bool:
        """Count one anomalous evaluation at `now_ms`; true when a detection is due.

        `first_ms` is where the tested window starts when the episode is new. An episode longer than the dedup window moves its
        anchor, so that ids change about once per dedup window and never back.
        """
        if self.streak == 0:
            self.started_ms = self.anchor_ms = first_ms
            self.severity = 0
        self.streak += 1
        if self.streak < consecutive or (self.emitted_ms and now_ms - self.emitted_ms < repeat_ms):
            return False
        if now_ms - self.anchor_ms >= dedup_ms:
            self.anchor_ms = now_ms
        self.emitted_ms = now_ms
        return True

    def escalate(self, severity: str) -> str:
        """The worst severity of the episode so far: it may rise while the anomaly lasts, never fall back."""
        self.severity = max(self.severity, SEVERITIES.index(severity))
        return SEVERITIES[self.severity]

    def calm(self) -> bool:
        """One normal evaluation; true when it ends an episode that was reported."""
        ended = self.streak > 0 and self.emitted_ms > self.started_ms
        self.streak = 0
        return ended

    def lasted_ms(self, now_ms: int) -> int:
        return now_ms - self.started_ms if self.streak else 0
