"""Trained models on pane vectors: isolation forest, autoencoder, LSTM, DBSCAN and K-means, by the model that the configuration names.

Every ten seconds the vector of the last minute is scored by the version in force, and by its shadow if there is one. What the shadow finds is
marked as such and raises nothing. The state holds the minute and what was learned of the key, never the model.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection, severity_of, tail_score
from sentinel.detection.episode import Episode
from sentinel.detection.state import check_version
from sentinel.detection.tuning import SENSITIVITY, Tuning
from sentinel.models.artifact import Model
from sentinel.models.errors import ModelError
from sentinel.models.features import FEATURES, SUMS, WINDOW_S, Floats, display, vectors
from sentinel.models.library import library
from sentinel.models.scaling import key_mark
from sentinel.models.scorers import SEQUENCE
from sentinel.panes import HISTOGRAM_BUCKETS, Pane

STATE_VERSION = 1
PART_MS = 10_000
PARTS = WINDOW_S * 1000 // PART_MS
OWN_WINDOWS = 10
"""Minutes that a key outside the training is watched before it is judged."""
OWN_MEMORY = 120
"""Minutes that its centre remembers."""
THRESHOLD = 4.0
SHOWN_SPREADS = 3.0
MILLI = 1000.0


class ModelDetector:
    """One key. `params`: `model`, `store` (root of the model store), `reload_s`, and the tuning that `ModelParams` lists."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        params = config.params
        try:
            self._name, self._store = str(params["model"]), str(params["store"])
            self._reload_s = float(params.get("reload_s", 300.0))
            sensitivity = params.get("sensitivity", "medium")
            self.tuning = msgspec.convert(
                {
                    "threshold": float(params.get("threshold", THRESHOLD)) * SENSITIVITY[sensitivity],
                    "consecutive": params.get("consecutive", 2),
                    "min_count": params.get("min_count", 5),
                    "repeat_s": params.get("repeat_s", 10.0),
                    "level": params.get("level", "model"),
                },
                Tuning,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"detector {config.id!r}: a trained detector needs the name of its `model`; found {params!r} ({error!r})"
            ) from error
        self._strategy = config.strategy
        self._who = config.id
        self.fixed_severity = next((action.severity for action in config.actions if action.severity), None)
        self.dedup_ms = dedup_ms
        self.episode, self.shadow_episode = Episode(), Episode()
        self._part, self._first_ms = -1, 0
        # Closed and current parts of the last minute: [number, sums, {bucket: count}, highest latency, event].
        self._parts: list[list[Any]] = []
        self._own: list[list[float]] = [[0.0, 0.0] for _ in FEATURES]
        self._own_windows = 0
        # For sequence models: [part, vector in thousandths] of the last minutes.
        self._past: list[list[Any]] = []
        self._due: list[Detection] = []
        self._mark = ""

    def on_pane(self, pane: Pane) -> Detection | None:
        """Take one pane (event-time order); the detection that is due, if any: a second one waits for the next pane."""
        part = pane.start_ms // PART_MS
        if part != self._part:
            if self._part >= 0:
                self._close(pane)
            else:
                self._first_ms = pane.start_ms
            self._part = part
            self._parts.append([part, [0] * len(SUMS), {}, -1, ""])
        current = self._parts[-1]
        sums = current[1]
        sums[0] += pane.calls
        sums[1] += pane.errors
        sums[2] += pane.latency_count
        sums[3] += pane.latency_sum_us
        sums[4] += pane.token_count
        sums[5] += pane.token_sum
        sums[6] += pane.cost_count
        sums[7] += pane.cost_sum_nano
        if pane.latency_hist:
            histogram: dict[int, int] = current[2]
            for bucket, count in enumerate(pane.latency_hist):
                if count:
                    histogram[bucket] = histogram.get(bucket, 0) + count
        if pane.latency_max_us > current[3]:
            current[3], current[4] = pane.latency_max_us, pane.latency_max_event or pane.first_event
        return self._due.pop(0) if self._due else None

    def on_time(self, now_ms: int) -> Detection | None:
        return None

    def next_timer(self) -> int | None:
        return None

    def _close(self, pane: Pane) -> None:
        """The current part is over: judge the minute that ends with it."""
        end_ms = (self._part + 1) * PART_MS
        oldest = self._part - PARTS + 1
        self._parts = [part for part in self._parts if part[0] >= oldest]
        calls = sum(part[1][0] for part in self._parts)
        if end_ms - self._first_ms < WINDOW_S * 1000 or calls < max(1, self.tuning.min_count):
            self.episode.calm()
            self.shadow_episode.calm()
            return
        sums = np.sum([part[1] for part in self._parts], axis=0)
        histogram = np.zeros(HISTOGRAM_BUCKETS)
        for part in self._parts:
            for bucket, count in part[2].items():
                histogram[bucket] += count
        row = vectors(sums, histogram)[0]
        if self._strategy == "lstm":
            self._past.append([self._part, [round(v * MILLI) if math.isfinite(v) else None for v in row.tolist()]])
            self._past = [entry for entry in self._past if entry[0] > self._part - SEQUENCE * PARTS]
        entry = library(self._store).get(self._name, self._reload_s)
        anomalous = False
        for model, episode, shadow in ((entry.promoted, self.episode, False), (entry.shadow, self.shadow_episode, True)):
            if model is None or (model.card.tenant and model.card.tenant != pane.tenant_id):
                episode.calm()
                continue
            found = self._judge(model, episode, row, pane, end_ms, calls, shadow)
            if found is not None:
                self._due.append(found)
            anomalous = anomalous or (episode.streak > 0 and not shadow)
        if self._part % PARTS == PARTS - 1 and not anomalous:
            self._learn(row)

    def _judge(self, model: Model, episode: Episode, row: Floats, pane: Pane, end_ms: int, calls: int, shadow: bool) -> Detection | None:
        card = model.card
        if card.kind != self._strategy or card.level != self.tuning.level:
            raise ModelError(
                f"detector {self._who!r} is {self._strategy} at level {self.tuning.level}; model {card.name!r} version {card.version} "
                f"is {card.kind} at level {card.level}"
            )
        if not self._mark:
            self._mark = key_mark(pane.tenant_id, pane.application_id, pane.model)
        usual = model.scaling.of_key(self._mark) or self._own_usual(model)
        scaled = None if usual is None else self._scaled(model, row, *usual)
        if usual is None or scaled is None:
            episode.calm()
            return None
        raw, sigma = model.sigma(scaled)
        tuning = self.tuning
        if sigma < tuning.threshold:
            episode.calm()
            return None
        if not episode.anomalous(end_ms - PART_MS, end_ms, tuning.consecutive, round(tuning.repeat_s * 1000), self.dedup_ms):
            return None
        score = tail_score(sigma)
        centre, spread = usual
        off = scaled[-1] if model.sequence else scaled
        evidence = [_evidence(column, row, centre, spread, float(z)) for column, z in zip(model.columns, off, strict=True)]
        top = max(evidence, key=lambda item: abs(item[4]))
        return Detection(
            metric=top[0],
            observed=top[1],
            baseline=display(FEATURES.index(top[0]), float(centre[FEATURES.index(top[0])])),
            low=top[2],
            high=top[3],
            deviation=round(sigma, 3),
            threshold=round(tuning.threshold, 3),
            score=score,
            severity=episode.escalate(self.fixed_severity or severity_of(score)),
            window_start_ms=end_ms - WINDOW_S * 1000,
            window_end_ms=end_ms,
            detected_ms=end_ms,
            anchor_ms=episode.anchor_ms,
            count=calls,
            samples=self._samples(),
            evidence=sorted(evidence, key=lambda item: -abs(item[4])),
            model_version=f"{card.name}/{card.version}",
            model_score=round(raw, 6),
            shadow=shadow,
        )

    def _scaled(self, model: Model, row: Floats, centre: Floats, spread: Floats) -> Floats | None:
        if not model.sequence:
            return np.asarray(model.scaled(row[None], centre, spread)[0])
        held = dict(self._past)
        wanted = [self._part - back * PARTS for back in range(SEQUENCE - 1, -1, -1)]
        if any(part not in held for part in wanted):
            return None
        past = np.array([[math.nan if v is None else v / MILLI for v in held[part]] for part in wanted])
        return model.scaled(past, centre, spread)

    def _own_usual(self, model: Model) -> tuple[Floats, Floats] | None:
        """Centre of a key that the model was not trained on, once it is known, with the spread of the others."""
        if self._own_windows < OWN_WINDOWS:
            return None
        return np.array([mean if count else math.nan for count, mean in self._own]), model.scaling.pooled

    def _learn(self, row: Floats) -> None:
        self._own_windows = min(OWN_MEMORY, self._own_windows + 1)
        for own, value in zip(self._own, row.tolist(), strict=True):
            if math.isfinite(value):
                own[0] = min(OWN_MEMORY, own[0] + 1.0)
                own[1] += (value - own[1]) / own[0]

    def _samples(self) -> list[str]:
        ranked = sorted((-part[3], part[4]) for part in self._parts if part[4])
        return list(dict.fromkeys(event for _, event in ranked))[:3]

    def to_state(self) -> list[Any]:
        return [
            STATE_VERSION,
            self.episode,
            self.shadow_episode,
            [self._part, self._first_ms, self._own_windows],
            self._parts,
            self._own,
            self._past,
            self._due,
        ]

    def from_state(self, state: Any) -> None:
        episode, shadow, place, parts, own, past, due = check_version(state, STATE_VERSION, type(self).__name__)
        self.episode, self.shadow_episode = msgspec.convert(episode, Episode), msgspec.convert(shadow, Episode)
        self._part, self._first_ms, self._own_windows = place
        self._parts = [[number, list(sums), dict(histogram), peak, event] for number, sums, histogram, peak, event in parts]
        self._own = [list(pair) for pair in own]
        self._past = [list(entry) for entry in past]
        self._due = [msgspec.convert(item, Detection) for item in due]


def _evidence(column: int, row: Floats, centre: Floats, spread: Floats, sigma: float) -> tuple[str, float, float, float, float]:
    """(metric, observed, low, high, standard deviations); low and high: three spreads around the centre."""
    middle, width = float(centre[column]), SHOWN_SPREADS * float(spread[column])
    low, high = display(column, max(0.0, middle - width)), display(column, middle + width)
    return FEATURES[column], display(column, float(row[column])), low, high, round(sigma, 2)
