"""Strategy `cep`: sequences, repetitions and absences of events of one key."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.keyed_rule import Keys, rule_detection
from sentinel.detection.episode import Episode
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.rules.sequence import Match, Pattern, SequenceState
from sentinel.detection.rules.specs import cep_spec
from sentinel.detection.sentences import duration
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1


class _Key(msgspec.Struct, array_like=True):
    sequence: SequenceState
    episode: Episode


class CepDetector:
    """Feeds each key's events to its automaton; an absence is certain once the second of its deadline is complete."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        spec = cep_spec(config)
        self.config, self.spec = config, spec
        self.tuning = Tuning(level="application", repeat_s=spec.repeat_s)
        self.dedup_ms = dedup_ms
        names = list(spec.events)
        self.pattern = Pattern(
            [(names.index(step.event), step.times, step.absent) for step in spec.sequence], max(1, round(spec.within_s * 1000))
        )
        self._keys: Keys[_Key] = Keys()
        self._next_ms: int | None = None
        self._sentence = _in_words(spec.sequence, spec.within_s)

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Take the matches of a second."""
        said: list[Detection] = []
        for fact in sorted(facts, key=lambda fact: (fact.time_ms, fact.event, fact.key)):
            self._due(fact.time_ms, said)
            key = self._keys.touch(fact.key, _Key(SequenceState(), Episode()))
            for _ in range(min(fact.count, len(self.pattern.places))):
                match = key.sequence.feed(self.pattern, fact.mask, fact.time_ms, fact.event)
                if match is not None:
                    self._say(fact.key, key, match, said)
                    break
            self._remember(key.sequence.due(self.pattern))
        if self._keys.sweep_due(start_ms):
            idle = [name for name, key in self._keys.states.items() if key.sequence.idle(self.pattern, start_ms)]
            for name in idle:
                del self._keys.states[name]
        return said

    def on_time(self, now_ms: int) -> Detection | None:
        """One absence that is certain now; call again until None."""
        said: list[Detection] = []
        while not said and self._next_ms is not None and _grid(self._next_ms) <= now_ms:
            self._due(self._next_ms, said, one=True)
        return said[0] if said else None

    def next_timer(self) -> int | None:
        """The end of the second in which the next absence is certain."""
        return None if self._next_ms is None else _grid(self._next_ms)

    def _due(self, time_ms: int, said: list[Detection], one: bool = False) -> None:
        """Absences whose time is over before `time_ms` (or at it, when event time has passed it)."""
        while self._next_ms is not None and (self._next_ms <= time_ms if one else self._next_ms < time_ms):
            due_ms = self._next_ms
            for name in [n for n, key in self._keys.states.items() if key.sequence.due(self.pattern) == due_ms][: 1 if one else None]:
                key = self._keys.states[name]
                self._say(name, key, key.sequence.expire(self.pattern), said)
            self._next_ms = min(
                (d for key in self._keys.states.values() if (d := key.sequence.due(self.pattern)) is not None), default=None
            )
            if one:
                return

    def _remember(self, due_ms: int | None) -> None:
        if due_ms is not None and (self._next_ms is None or due_ms < self._next_ms):
            self._next_ms = due_ms

    def _say(self, name: str, key: _Key, match: Match, said: list[Detection]) -> None:
        if not key.episode.anomalous(match.start_ms, match.end_ms, 1, round(self.spec.repeat_s * 1000), self.dedup_ms):
            return
        said.append(
            rule_detection(
                self.config,
                self.spec.by,
                name,
                sentence=f"{self._sentence}; it took {duration((match.end_ms - match.start_ms) / 1000)}",
                window=(match.start_ms, match.end_ms),
                detected_ms=match.end_ms,
                anchor_ms=key.episode.anchor_ms,
                count=len(match.events),
                samples=match.events,
            )
        )

    def to_state(self) -> list[Any]:
        """The keys, and when the next absence is due."""
        return [STATE_VERSION, self._keys.states, self._keys.swept_ms, self._next_ms]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        keys, self._keys.swept_ms, self._next_ms = check_version(state, STATE_VERSION, type(self).__name__)
        self._keys.states = msgspec.convert(keys, dict[str, _Key], strict=False)


def _grid(due_ms: int) -> int:
    """The end of the second that holds `due_ms`: what comes at that very moment still comes in time."""
    return (due_ms // FACT_WIDTH_MS + 1) * FACT_WIDTH_MS


def _in_words(steps: list[Any], within_s: float) -> str:
    parts = [f"no {step.event}" if step.absent else f"{step.times} × {step.event}" if step.times > 1 else step.event for step in steps]
    return f"{', then '.join(parts)} within {duration(within_s)}"
