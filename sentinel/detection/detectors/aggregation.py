"""Strategy `aggregation`: a function of the events of a sliding window against a limit, by key."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.aggregate_window import AggregateWindow, Partial, function_of, partial_of_fact, partial_of_pane
from sentinel.detection.comparisons import CONDITIONS
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.keyed_rule import Keys, rule_detection
from sentinel.detection.episode import Episode
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.rules.specs import AggregateSpec, aggregate_spec
from sentinel.detection.sentences import duration, figure, with_unit
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1


class _Key:
    __slots__ = ("episode", "judged_ms", "window")

    def __init__(self, window: AggregateWindow, episode: Episode, judged_ms: int) -> None:
        self.window, self.episode, self.judged_ms = window, episode, judged_ms


class AggregationDetector:
    """One window a key. From panes where they tell enough, else from the hop's partial aggregates."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config, self.spec = config, aggregate_spec(config)
        self.tuning = Tuning(level="application", consecutive=self.spec.consecutive, repeat_s=self.spec.repeat_s)
        self.dedup_ms = dedup_ms
        self._keys: Keys[_Key] = Keys()
        self._every_ms = round(self.spec.every_s * 1000)

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Add what the second brings, and judge the windows that it touched."""
        touched: dict[str, _Key] = {}
        for name, partial in contributions(self.spec, panes, facts):
            key = touched[name] = self._keys.touch(name, _Key(AggregateWindow(self.spec), Episode(), 0))
            key.window.add(start_ms, partial)
        if self.spec.by == "application" and not touched and "" in self._keys.states:
            touched[""] = self._keys.states[""]
        end_ms = start_ms + FACT_WIDTH_MS
        judged = [self._judge(name, touched[name], start_ms, end_ms) for name in sorted(touched)]
        if self._keys.sweep_due(start_ms):
            for name in [name for name, key in self._keys.states.items() if not key.window.expire(end_ms)]:
                del self._keys.states[name]
        return [detection for detection in judged if detection is not None]

    def on_time(self, now_ms: int) -> Detection | None:
        """Windows are judged when something comes."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def _judge(self, name: str, key: _Key, start_ms: int, end_ms: int) -> Detection | None:
        key.window.expire(end_ms)
        observed = key.window.value()
        if not beyond(self.spec, key.window, observed):
            key.episode.calm()
            return None
        if key.episode.streak and end_ms - key.judged_ms < self._every_ms:
            return None
        key.judged_ms = end_ms
        episode = key.episode
        first_ms = key.window.start_ms(end_ms)
        if not episode.anomalous(start_ms, end_ms, self.spec.consecutive, round(self.spec.repeat_s * 1000), self.dedup_ms):
            return None
        return rule_detection(
            self.config,
            self.spec.by,
            name,
            sentence=f"{in_words(self.spec)} was {figure_of(self.spec, observed)} ({key.window.count} values); "
            f"the rule fires at {limit_of(self.spec)}",
            window=(first_ms, end_ms),
            detected_ms=end_ms,
            anchor_ms=episode.anchor_ms,
            observed=observed,
            limit=float(self.spec.value or 0.0),
            count=key.window.count,
            samples=key.window.samples(),
        )

    def to_state(self) -> list[Any]:
        """Windows and episodes by key."""
        states = {name: [key.window.to_state(), key.episode, key.judged_ms] for name, key in self._keys.states.items()}
        return [STATE_VERSION, states, self._keys.swept_ms]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        states, self._keys.swept_ms = check_version(state, STATE_VERSION, type(self).__name__)
        self._keys.states = {
            name: _Key(AggregateWindow(self.spec, window), msgspec.convert(episode, Episode), judged_ms)
            for name, (window, episode, judged_ms) in states.items()
        }


def contributions(spec: AggregateSpec, panes: list[Pane], facts: list[Fact]) -> list[tuple[str, Partial]]:
    """What a second brings to an aggregate, by key, in an order that does not depend on arrival."""
    if not spec.from_panes:
        return [(fact.key, partial_of_fact(fact)) for fact in sorted(facts, key=lambda f: (f.key, f.event, f.count, f.total))]
    found = [(pane.model if spec.by == "model" else "", partial_of_pane(spec, pane)) for pane in panes]
    return [(name, partial) for name, partial in found if partial is not None]


def beyond(spec: AggregateSpec, window: AggregateWindow, observed: float) -> bool:
    """Whether the limit is broken. NaN breaks none; counts and sums are judged however little there is."""
    if observed != observed:
        return False
    function = function_of(spec)
    if function not in ("count", "sum") and window.count < spec.minimum_events:
        return False
    return bool(CONDITIONS[spec.condition][0](observed, spec.value))


def in_words(spec: AggregateSpec) -> str:
    """`avg of latency_ms over 1 m`."""
    function = f"percentile {spec.percentile:g}" if spec.function == "percentile" else spec.function
    what = f"{function} of {spec.metric}" if function and spec.metric else f"{function} of events" if function else str(spec.metric)
    return f"{what}{' that meet the condition' if spec.where is not None else ''} over {duration(spec.window_s)}"


def figure_of(spec: AggregateSpec, value: float) -> str:
    """The value with the metric's unit, if the function keeps it."""
    return figure(value) if spec.metric is None or spec.function == "count" else with_unit(spec.metric, value)


def limit_of(spec: AggregateSpec) -> str:
    """`> 2,000 ms`."""
    return f"{CONDITIONS[spec.condition][1]} {figure_of(spec, float(spec.value or 0.0))}"
