"""A trained model as two files: `model.npz` (arrays, no code) and `card.json` (what it is, what it was trained on, how good it was)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import msgspec
import numpy as np

from sentinel.models.errors import ModelError
from sentinel.models.features import FEATURES, WINDOW_S, Floats
from sentinel.models.scaling import Scaling
from sentinel.models.scorers import SCORERS, SEQUENCE, Arrays, Scorer
from sentinel.models.tail import Tail

FORMAT = 1
"""Layout of the two files; another one is refused."""
MAX_BYTES = 64 * 1024 * 1024


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about one version of a model.

    Attributes:
        kind: strategy of the detectors that it serves.
        tenant: the tenant whose data it learned from and whom alone it serves; empty: all.
        level: `model` (one key for each model of an application) or `application`.
        features: what its vectors hold, by metric name; `window_s`: seconds of a window.
        trained: rows, keys, first and last minute, minutes left out because an anomaly was reported in them.
        quality: figures from the held-out end of the training data.
        settings: parameters of the training, with its seed.
        checksum: SHA-256 of `model.npz`.
    """

    name: str
    version: int
    kind: str
    tenant: str = ""
    level: str = "model"
    format: int = FORMAT
    created_at: str
    features: list[str]
    window_s: int = WINDOW_S
    tail: Tail
    trained: dict[str, Any]
    quality: dict[str, Any]
    settings: dict[str, Any]
    libraries: dict[str, str]
    checksum: str


class Model:
    """A card with its arrays, ready to score."""

    def __init__(self, card: Card, scaling: Scaling, scorer: Scorer) -> None:
        self.card, self.scaling, self.scorer = card, scaling, scorer
        self.sequence = scorer.sequence

    def scaled(self, rows: Floats, centre: Floats, spread: Floats) -> Floats:
        """Vectors (n, 6) in standard deviations, the columns of the model."""
        return self.scaling.scale(rows, centre, spread)

    def sigma(self, scaled: Floats) -> tuple[float, float]:
        """Raw score and standard deviations of one window: (columns,), or (SEQUENCE, columns) for a sequence model."""
        raw = float(self.scorer.score(scaled[None])[0])
        return raw, self.card.tail.sigma(raw)

    @property
    def columns(self) -> tuple[int, ...]:
        return self.scaling.columns


def pack(arrays: Arrays) -> bytes:
    """The bytes of `model.npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def card_bytes(card: Card) -> bytes:
    """The bytes of `card.json`."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2)


def read_card(data: bytes, place: str) -> Card:
    """Raises ModelError: no card, or one of another format."""
    try:
        found = msgspec.json.decode(data)
        form = found.get("format") if isinstance(found, dict) else None
        if form != FORMAT:
            raise ModelError(f"{place}: model format {form!r} found, this release reads format {FORMAT}; train the model anew")
        card = msgspec.convert(found, Card)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{place}: expected the card of a model, found {len(data)} bytes that are none: {error}") from None
    if card.kind not in SCORERS:
        raise ModelError(f"{place}: expected a kind of {', '.join(sorted(SCORERS))}, found {card.kind!r}")
    if card.window_s != WINDOW_S or not set(card.features) <= set(FEATURES):
        raise ModelError(f"{place}: made for windows of {card.window_s} s of {', '.join(card.features)}, which this release does not build")
    return card


def read_model(card: Card, data: bytes, place: str) -> Model:
    """Raises ModelError: cut, altered, or not what the card says."""
    if checksum(data) != card.checksum:
        raise ModelError(
            f"{place}: {len(data)} bytes with SHA-256 {checksum(data)[:12]}…, expected {card.checksum[:12]}…: the file was cut or altered"
        )
    if len(data) > MAX_BYTES:
        raise ModelError(f"{place}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > 4 * MAX_BYTES:
            raise ModelError(f"{place}: unpacks to {unpacked} bytes, expected at most {4 * MAX_BYTES}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays: Arrays = {name: archive[name] for name in archive.files}
        scaling = Scaling.from_arrays(arrays)
        if [FEATURES[column] for column in scaling.columns] != card.features:
            raise ModelError("its columns are not the features of its card")
        return Model(card, scaling, SCORERS[card.kind](arrays, len(scaling.columns)))
    except KeyError as error:
        raise ModelError(f"{place}: the array {error} is missing") from None
    except ModelError as error:
        raise ModelError(f"{place}: {error}") from None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{place}: not the arrays of a model: {error}") from None


def sequences(rows: Floats, starts_s: Floats, keys: Floats) -> tuple[Floats, Floats]:
    """Runs of SEQUENCE windows without a gap from rows sorted by key and time: (n, SEQUENCE, columns), and the row each one ends with."""
    last = np.arange(SEQUENCE - 1, len(rows))
    first = last - SEQUENCE + 1
    whole = (keys[last] == keys[first]) & (starts_s[last] - starts_s[first] == (SEQUENCE - 1) * WINDOW_S)
    last = last[whole]
    return np.stack([rows[last - back] for back in range(SEQUENCE - 1, -1, -1)], axis=1), last
