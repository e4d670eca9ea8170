"""What a shadow would have raised, against what was raised: from the records of the running jobs, or by scoring stored minutes with both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString

import numpy as np
import psycopg

from sentinel.models.artifact import Model, sequences
from sentinel.models.features import WINDOW_S
from sentinel.models.scorers import SEQUENCE
from services.models.minutes import Minutes, StoredDataError

TOGETHER_S = 300
"""Two findings at one key within this time are the same trouble."""
_RAISED: LiteralString = """
    SELECT tenant_id, application_id, coalesce(model, ''), extract(epoch FROM detected_at)::bigint, description
    FROM sentinel.anomalies WHERE record -> 'labels' ->> 'model_version' = %(version)s AND detected_at BETWEEN %(since)s AND %(until)s
"""
_SHADOW: LiteralString = """
    SELECT tenant_id, application_id, coalesce(model, ''), extract(epoch FROM detected_at)::bigint, description
    FROM sentinel.shadow_anomalies WHERE model_version = %(version)s AND detected_at BETWEEN %(since)s AND %(until)s
"""
Place = tuple[str, str, str]


@dataclass
class Comparison:
    """Findings by key (tenant, application, model): epoch seconds and a sentence each."""

    in_force: dict[Place, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    shadow: dict[Place, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))

    def rows(self) -> list[tuple[str, str, str, int, int, int, str]]:
        """Key, findings in force, findings of the shadow, those of the shadow near one in force, a sentence of one that is new."""
        found = []
        for place in sorted({*self.in_force, *self.shadow}):
            mine, other = self.in_force.get(place, []), self.shadow.get(place, [])
            both = [at for at, _ in other if any(abs(at - seen) <= TOGETHER_S for seen, _ in mine)]
            fresh = next((text for at, text in other if at not in both), "")
            found.append((*place, len(mine), len(other), len(both), fresh))
        return found


def recorded(dsn: str, promoted: str, shadow: str, since: datetime, until: datetime) -> Comparison:
    """What running jobs recorded; versions as `name/number`. Raises StoredDataError."""
    found = Comparison()
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            for query, version, into in ((_RAISED, promoted, found.in_force), (_SHADOW, shadow, found.shadow)):
                for *place, at, text in connection.execute(query, {"version": version, "since": since, "until": until}):
                    into[tuple(place)].append((int(at), str(text)))
    except psycopg.Error as error:
        raise StoredDataError(f"Postgres: {str(error).strip().splitlines()[0]}") from None
    return found


def replayed(minutes: Minutes, promoted: Model | None, shadow: Model, threshold: float, min_calls: int) -> Comparison:
    """Both versions over stored minutes, without Flink: one judgement a minute, of keys that the training knew."""
    found = Comparison()
    for model, into in ((promoted, found.in_force), (shadow, found.shadow)):
        if model is not None:
            _judge(minutes.only(minutes.calls >= min_calls), model, threshold, into)
    return found


def _judge(minutes: Minutes, model: Model, threshold: float, into: dict[Place, list[tuple[int, str]]]) -> None:
    version = f"{model.card.name}/{model.card.version}"
    for number, place in enumerate(minutes.names):
        usual = model.scaling.of_key(minutes.marks[number])
        own = minutes.only(minutes.keys == number)
        if usual is None or len(own) < (SEQUENCE if model.sequence else 1) or (model.card.tenant and model.card.tenant != place[0]):
            continue
        scaled, ends = model.scaled(own.rows, *usual), own.starts_s
        if model.sequence:
            scaled, last = sequences(scaled, own.starts_s.astype(np.float64), own.keys.astype(np.float64))
            ends = own.starts_s[last]
        if not len(scaled):
            continue
        for at, raw in zip(ends.tolist(), model.scorer.score(scaled).tolist(), strict=True):
            sigma = model.card.tail.sigma(raw)
            if sigma >= threshold:
                into[place].append((at + WINDOW_S, f"{version}: {sigma:.1f} sigma in the minute that ends then"))
