"""Strategy `entity_relationship`: new edges and fan-out between an application, its models, its users and their keys.

Who spreads over applications is counted where all of them meet: here a user's first second in a window is reported (`Detection.edge`), and
`sentinel.detection.fan_out` counts. Of `key_users` the rows hold a key in the user's place and the user in the model's.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.behaviour import behaviour_detection, params_of, user_rows
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.sentences import duration, figure
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.events.model import UNKNOWN_MODEL
from sentinel.panes import Pane

STATE_VERSION = 1
MOST_MODELS = 1_000
MOST_USERS = 50_000
FADE = 0.9
"""The usual number of users forgets half in 7 windows."""


class _Params(msgspec.Struct, frozen=True):
    watch: tuple[str, ...] = ("new_model", "user_models", "application_users")
    warmup_s: float = 86_400.0
    forget_after_s: float = 2_592_000.0
    max_users: int = 5_000
    repeat_s: float = 300.0
    window_s: float = 600.0
    min_models: int = 5
    min_users: int = 50
    min_applications: int = 5
    min_ratio: float = 3.0
    min_windows: int = 6


def params_of_relations(config: DetectorConfig) -> _Params:
    """The settings of such a detector. Raises ValueError with its id when they are of another shape."""
    return params_of(config, _Params)


class EntityRelationshipDetector:
    """One application: the models that it uses, the models of each user and the number of its users in each window (aligned, not sliding)."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config, self.params = config, params_of_relations(config)
        self.tuning = Tuning(level="application")
        self._window_ms = round(self.params.window_s * 1000)
        self._first_ms = 0
        self._models: dict[str, int] = {}
        self._window = -1
        self._users: dict[str, list[str]] = {}
        self._said: list[str] = []
        # Exponentially forgotten: windows, users, the greatest number of models of one user.
        self._windows = self._usual_users = self._usual_models = 0.0

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Edges from panes, fan-out from what users did."""
        end_ms = start_ms + FACT_WIDTH_MS
        self._first_ms = self._first_ms or start_ms
        if start_ms // self._window_ms != self._window:
            self._learn()
            self._window = start_ms // self._window_ms
        said = [edge for pane in panes if (edge := self._edge(pane.model, pane.first_event, end_ms)) is not None]
        newest = ""
        for name, model, *_, event in user_rows(facts):
            models = self._users.get(name)
            if models is None:
                if len(self._users) >= MOST_USERS:
                    continue
                models = self._users[name] = []
                newest = event
                if "user_applications" in self.params.watch:
                    said.append(self._met(name, event, end_ms))
            if model and model not in models and len(models) < MOST_MODELS:
                models.append(model)
                if (spread := self._spread(name, models, event, end_ms)) is not None:
                    said.append(spread)
        if facts and (crowd := self._crowd(newest, end_ms)) is not None:
            said.append(crowd)
        return said

    def on_time(self, now_ms: int) -> Detection | None:
        """Nothing is due by time alone."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def _edge(self, model: str, event: str, end_ms: int) -> Detection | None:
        if not model or model == UNKNOWN_MODEL:
            return None
        known_ms = self._models.pop(model, None)
        self._models[model] = end_ms
        if len(self._models) > MOST_MODELS:
            del self._models[next(iter(self._models))]
        fresh = known_ms is None or end_ms - known_ms > self.params.forget_after_s * 1000
        if not fresh or "new_model" not in self.params.watch or end_ms - self._first_ms < self.params.warmup_s * 1000:
            return None
        others = [name for name in self._models if name != model][-5:]
        return behaviour_detection(
            self.config, at_ms=end_ms, window_ms=FACT_WIDTH_MS, observed=1.0, baseline=0.0, count=1, key=f"model {model}", score=0.7,
            learned_s=(end_ms - self._first_ms) / 1000, samples=[event],
            sentence=f"uses model {model} for the first time in {duration((end_ms - self._first_ms) / 1000)}; until now {', '.join(others)}",
        )  # fmt: skip

    def _spread(self, name: str, models: list[str], event: str, end_ms: int) -> Detection | None:
        usual = max(1.0, self._usual_models / self._windows if self._windows else 1.0)
        keys = "key_users" in self.params.watch
        limit = max(float(self.params.min_users if keys else self.params.min_models), self.params.min_ratio * usual)
        if not (keys or "user_models" in self.params.watch) or not self._warm() or len(models) < limit or name in self._said:
            return None
        self._said.append(name)
        who = "API key" if self.config.params.get("entity") == "api_key" else "user"
        return behaviour_detection(
            self.config, user=name, at_ms=end_ms, window_ms=end_ms % self._window_ms or self._window_ms, observed=float(len(models)),
            baseline=usual, high=limit, deviation=round(len(models) / usual, 3), threshold=self.params.min_ratio, count=len(models),
            score=score_beyond(len(models), limit), samples=[event],
            sentence=f"{len(models)} {'users' if keys else 'models'} within {duration(self.params.window_s)}, the busiest {who} has {figure(usual)}: "
            + ", ".join(models[-8:]),
        )  # fmt: skip

    def _met(self, name: str, event: str, end_ms: int) -> Detection:
        found = behaviour_detection(self.config, user=name, at_ms=end_ms, window_ms=FACT_WIDTH_MS, sentence="met", samples=[event])
        found.edge = True
        return found

    def _crowd(self, event: str, end_ms: int) -> Detection | None:
        usual = self._usual_users / self._windows if self._windows else 0.0
        limit = max(float(self.params.min_users), self.params.min_ratio * usual)
        if "application_users" not in self.params.watch or not self._warm() or len(self._users) < limit or "" in self._said:
            return None
        self._said.append("")
        return behaviour_detection(
            self.config, at_ms=end_ms, window_ms=end_ms % self._window_ms or self._window_ms, observed=float(len(self._users)), baseline=usual,
            high=limit, deviation=round(len(self._users) / max(1.0, usual), 3), threshold=self.params.min_ratio, count=len(self._users),
            score=score_beyond(len(self._users), limit), key="users", samples=[event],
            sentence=f"{len(self._users)} users within {duration(self.params.window_s)}, usual are {figure(usual)}",
        )  # fmt: skip

    def _warm(self) -> bool:
        # Weights of windows fade: n windows weigh (1 - FADE**n) / (1 - FADE).
        return self._windows >= (1.0 - FADE**self.params.min_windows) / (1.0 - FADE) - 1e-9

    def _learn(self) -> None:
        """The window is over; one that was anomalous counts no more than its limit, so that it does not become the usual at once."""
        if self._window >= 0 and self._users:
            usual = self._usual_users / self._windows if self._windows else math.inf
            users = min(float(len(self._users)), max(float(self.params.min_users), self.params.min_ratio * usual))
            self._windows = self._windows * FADE + 1.0
            self._usual_users = self._usual_users * FADE + users
            widest = max((len(models) for name, models in self._users.items() if name not in self._said), default=1)
            self._usual_models = self._usual_models * FADE + widest
        self._users, self._said = {}, []

    def to_state(self) -> list[Any]:
        """Edges, the open window and the usual."""
        usual = [self._windows, self._usual_users, self._usual_models]
        return [STATE_VERSION, self._first_ms, self._models, self._window, self._users, self._said, usual]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        self._first_ms, models, self._window, users, said, usual = check_version(state, STATE_VERSION, type(self).__name__)
        self._models, self._said = dict(models), list(said)
        self._users = {name: list(models) for name, models in users.items()}
        self._windows, self._usual_users, self._usual_models = usual


def score_beyond(value: float, limit: float) -> float:
    """0.5 at the limit, towards 1 with the distance from it."""
    return round(value / (value + limit), 4)
