"""From stored minutes to a model: scale, fit, calibrate on the newest part, and write down what came out."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from typing import Any

import msgspec
import numpy as np

from sentinel.models.artifact import Card, Model, checksum, pack, read_model, sequences
from sentinel.models.errors import ModelError
from sentinel.models.features import FEATURES, Floats
from sentinel.models.scaling import Scaling, robust_scaling
from sentinel.models.scorers import SCORERS, Arrays
from sentinel.models.tail import fit_tail
from services.models.fitting import FITS, settings_of
from services.models.minutes import Minutes

HELD_OUT = 0.25
"""The newest part of the time: scores of normal windows are calibrated on it, and nothing is fitted to it."""
LEAST_MINUTES = 30
"""A key needs as many for a centre and a spread of its own."""
LEAST_ROWS = 200
DAY_S = 86_400
PROBE = 6.0
"""Quality figures: how many windows are found when one feature moves by this many standard deviations."""


def train(
    minutes: Minutes,
    *,
    name: str,
    version: int,
    kind: str,
    tenant: str = "",
    level: str = "model",
    features: list[str] | None = None,
    min_calls: int = 5,
    seed: int = 1,
    settings: dict[str, Any] | None = None,
    created_at: datetime | None = None,
) -> tuple[Card, bytes]:
    """A new version, not stored yet.

    Raises:
        ModelError: an unknown kind, feature or setting (with the nearest), or too little data.
    """
    chosen = _settings(kind, settings or {})
    usable = minutes.only(minutes.calls >= min_calls)
    if len(usable) < LEAST_ROWS:
        raise ModelError(
            f"expected at least {LEAST_ROWS} minutes with {min_calls} calls or more, found {len(usable)}; train on a longer past"
        )
    begin, end = int(usable.starts_s.min()), int(usable.starts_s.max())
    columns, notes = _columns(features, end - begin)
    cut = end - HELD_OUT * (end - begin)
    early = usable.starts_s < cut
    scaling = robust_scaling(usable.rows[early], usable.keys[early], usable.marks, columns, LEAST_MINUTES)
    known = np.array([scaling.marks.get(mark, -1) for mark in usable.marks])[usable.keys]
    usable, early, known = usable.only(known >= 0), early[known >= 0], known[known >= 0]
    scaled = _scaled(scaling, usable.rows, known)
    inputs, held = scaled[early], scaled[~early]
    if SCORERS[kind].sequence:
        windows, last = sequences(scaled, usable.starts_s.astype(np.float64), known.astype(np.float64))
        inputs, held = windows[early[last]], windows[~early[last]]
    if len(inputs) < LEAST_ROWS // 2 or len(held) < 50:
        raise ModelError(
            f"expected at least {LEAST_ROWS // 2} windows to fit and 50 to calibrate, found {len(inputs)} and {len(held)}; train on a longer past"
        )
    rng = np.random.default_rng([seed, len(inputs)])
    arrays: Arrays = {**FITS[kind](inputs, rng, **chosen), **scaling.arrays()}
    packed = pack(arrays)
    scorer = SCORERS[kind](arrays, len(columns))
    normal = scorer.score(held)
    tail = fit_tail(normal)
    card = Card(
        name=name,
        version=version,
        kind=kind,
        tenant=tenant,
        level=level,
        created_at=(created_at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        features=[FEATURES[column] for column in columns],
        tail=tail,
        trained={
            "from": _time(begin), "to": _time(end + 60), "minutes": len(usable), "keys": len(scaling.marks), "held_out_minutes": int((~early).sum()),
            "left_out_in_trouble": minutes.troubled, "newest_only": minutes.limited, "notes": notes,
        },
        quality={},
        settings={"seed": seed, "min_calls": min_calls, **chosen},
        libraries={package: library_version(package) for package in ("numpy", "scikit-learn")},
        checksum=checksum(packed),
    )  # fmt: skip
    model = read_model(card, packed, "the model that was just trained")
    return msgspec.structs.replace(card, quality=_quality(model, held, normal)), packed


def _quality(model: Model, held: Floats, normal: Floats) -> dict[str, Any]:
    """On the held-out windows: how many would be judged anomalous at 4.0 sigma as they are, and with one feature moved up or down."""
    limit = 4.0
    tail = model.card.tail
    found: dict[str, Any] = {
        "held_out_windows": len(held),
        "share_beyond_4.0_sigma": round(float(np.mean([tail.sigma(float(score)) >= limit for score in normal])), 6),
    }
    probed = held[:: max(1, len(held) // 400)]
    moved: dict[str, float] = {}
    for place, feature in enumerate(model.card.features):
        shifted = probed.copy()
        # The last window of a sequence, or the row itself.
        view = shifted[:, -1] if model.sequence else shifted
        view[:, place] = np.clip(view[:, place] + PROBE, -12.0, 12.0)
        moved[feature] = round(float(np.mean([tail.sigma(float(score)) >= limit for score in model.scorer.score(shifted)])), 4)
    return {**found, f"found_when_moved_by_{PROBE:g}_spreads": moved}


def _columns(features: list[str] | None, span_s: int) -> tuple[tuple[int, ...], list[str]]:
    if features is None:
        if span_s >= DAY_S:
            return tuple(range(len(FEATURES))), []
        note = f"calls_per_second is left out: {span_s / 3600:.1f} h of training do not show how it changes over a day"
        return tuple(range(1, len(FEATURES))), [note]
    for feature in features:
        if feature not in FEATURES:
            raise ModelError(f"expected features of {', '.join(FEATURES)}, found {feature!r}{_nearest(feature, FEATURES)}")
    return tuple(sorted({FEATURES.index(feature) for feature in features})), []


def _settings(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    if kind not in FITS:
        raise ModelError(f"expected a kind of {', '.join(sorted(FITS))}, found {kind!r}{_nearest(kind, FITS)}")
    defaults = settings_of(kind)
    chosen = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise ModelError(f"settings of {kind} are {', '.join(defaults)}; found {name!r}{_nearest(name, defaults)}")
        try:
            number = type(defaults[name])(value)
        except (TypeError, ValueError):
            raise ModelError(f"setting {name} of {kind}: expected {type(defaults[name]).__name__}, found {value!r}") from None
        if not 0 < number <= 10_000:
            raise ModelError(f"setting {name} of {kind}: expected a number above 0 and at most 10,000, found {value!r}")
        chosen[name] = number
    return chosen


def _scaled(scaling: Scaling, rows: Floats, known: Any) -> Floats:
    scaled = np.empty((len(rows), len(scaling.columns)))
    for number in range(len(scaling.marks)):
        own = known == number
        scaled[own] = scaling.scale(rows[own], scaling.centres[number], scaling.spreads[number])
    return scaled


def _nearest(name: str, valid: Any) -> str:
    near = difflib.get_close_matches(name, list(valid), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _time(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
