"""The model store: versions, promotion, and every way in which a file can be wrong."""

from __future__ import annotations

import io
import json
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentinel.models import artifact
from sentinel.models.artifact import Card, checksum
from sentinel.models.errors import ModelError
from sentinel.models.library import ModelLibrary
from sentinel.models.store import ModelStore

Trained = dict[str, tuple[Card, bytes]]


def versions(store: ModelStore, trained: Trained, count: int) -> None:
    import msgspec

    card, packed = trained["kmeans"]
    for number in range(1, count + 1):
        store.add(msgspec.structs.replace(card, version=number), packed)


@pytest.fixture
def store(tmp_path: Path, trained: Trained) -> ModelStore:
    store = ModelStore(f"file://{tmp_path}")
    versions(store, trained, 3)
    return store


def test_promotions_and_the_way_back(store: ModelStore) -> None:
    assert [store.promote("kmeans", number) for number in (1, 2, 3)] == [0, 1, 2]
    assert store.rollback("kmeans") == (2, 3)
    assert store.rollback("kmeans") == (1, 2)
    with pytest.raises(ModelError, match="no version was in force before 1"):
        store.rollback("kmeans")
    store.set_shadow("kmeans", 3)
    with pytest.raises(ModelError, match="version 1 is in force; a shadow is another one"):
        store.set_shadow("kmeans", 1)
    store.promote("kmeans", 3)
    assert store.index("kmeans").shadow == 0, "a promoted shadow is no shadow any more"


def test_versions_never_change_and_names_stay_in_their_folder(store: ModelStore, trained: Trained) -> None:
    card, packed = trained["kmeans"]
    with pytest.raises(ModelError, match="has a version 1 already"):
        store.add(card, packed)
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(ModelError, match="model name"):
            store.index(name)
    with pytest.raises(ModelError, match="there is no model 'forest'; there are: kmeans"):
        store.index("forest")
    with pytest.raises(ModelError, match=r"has no version 9; it has: 1, 2, 3"):
        store.load("kmeans", 9)


def _rewrite(tmp_path: Path, change: dict[str, Any]) -> None:
    """A card that says something else, with an index that agrees: what another release would have written."""
    place = tmp_path / "kmeans" / "2" / "card.json"
    card = json.loads(place.read_text()) | change
    place.write_text(json.dumps(card))
    index = tmp_path / "kmeans" / "index.json"
    held = json.loads(index.read_text())
    held["cards"]["2"] = checksum(place.read_bytes())
    index.write_text(json.dumps(held))


def _cut(tmp_path: Path) -> None:
    place = tmp_path / "kmeans" / "2" / "model.npz"
    place.write_bytes(place.read_bytes()[:-100])


def _flip(tmp_path: Path) -> None:
    place = tmp_path / "kmeans" / "2" / "model.npz"
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


def _pickled(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, centres=np.array([{"a": 1}], object))
    _forged(tmp_path, buffer.getvalue())


def _forged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "kmeans" / "2" / "model.npz").write_bytes(data)
    _rewrite(tmp_path, {"checksum": checksum(data)})


def _nan(tmp_path: Path) -> None:
    with np.load(tmp_path / "kmeans" / "2" / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["radii"] = arrays["radii"] * np.nan
    _forged(tmp_path, artifact.pack(arrays))


def _shapeless(tmp_path: Path) -> None:
    with np.load(tmp_path / "kmeans" / "2" / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["centres"] = arrays["centres"][:, :2]
    _forged(tmp_path, artifact.pack(arrays))


WRONG = [
    pytest.param(_cut, "the file was cut or altered", id="cut"),
    pytest.param(_flip, "the file was cut or altered", id="one bit"),
    pytest.param(_pickled, r"scaling_columns.* is missing|not the arrays of a model", id="pickle"),
    pytest.param(_nan, "array radii of the model: expected finite numbers", id="not a number"),
    pytest.param(_shapeless, "array centres of the model: expected shape", id="another shape"),
    pytest.param(lambda p: (p / "kmeans" / "2" / "card.json").write_text("{}"), r"card.json: SHA-256 .*it was cut or altered", id="card"),
    pytest.param(
        lambda p: _rewrite(p, {"format": 2}), "model format 2 found, this release reads format 1; train the model anew", id="format"
    ),
    pytest.param(lambda p: _rewrite(p, {"kind": "oracle"}), "expected a kind of autoencoder, dbscan", id="kind"),
    pytest.param(lambda p: _rewrite(p, {"surprise": 1}), "expected the card of a model", id="field"),
    pytest.param(lambda p: _rewrite(p, {"features": ["moon_phase"]}), "which this release does not build", id="feature"),
    pytest.param(lambda p: (p / "kmeans" / "2" / "model.npz").unlink(), "there is no such file", id="gone"),
]


@pytest.mark.parametrize(("damage", "reason"), WRONG)
def test_a_damaged_version_is_refused_and_a_job_keeps_what_it_had(
    store: ModelStore, tmp_path: Path, damage: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.promote("kmeans", 1)
    clock = [0.0]
    library = ModelLibrary(f"file://{tmp_path}", lambda: clock[0])
    held = library.get("kmeans", 300.0).promoted
    assert held is not None and held.card.version == 1
    damage(tmp_path)
    with pytest.raises(ModelError, match=reason):
        store.promote("kmeans", 2)
    assert store.index("kmeans").promoted == 1
    index = json.loads((tmp_path / "kmeans" / "index.json").read_text())
    (tmp_path / "kmeans" / "index.json").write_text(json.dumps(index | {"promoted": 2}))
    clock[0] = 301.0
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock[0] += 301.0
            entry = library.get("kmeans", 300.0)
    assert entry.promoted is held
    assert len(caplog.records) == 1, "said once, not at every look"
    assert "version 1 stays in force" in caplog.text
    fresh = ModelLibrary(f"file://{tmp_path}")
    assert fresh.get("kmeans", 300.0).promoted is None, "a job that starts now goes on without the model"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 7}', b"\xff\xfe"])
def test_a_damaged_index(store: ModelStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kmeans" / "index.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"index\.json: (expected the index|index format 7)"):
        store.index("kmeans")


def test_a_job_looks_again_after_its_interval_or_at_once_when_told(store: ModelStore, tmp_path: Path) -> None:
    clock = [0.0]
    library = ModelLibrary(str(tmp_path), lambda: clock[0])
    assert library.get("kmeans", 300.0).promoted is None
    store.promote("kmeans", 1)
    clock[0] = 299.0
    assert library.get("kmeans", 300.0).promoted is None
    clock[0] = 300.0
    assert library.get("kmeans", 300.0).promoted is not None
    store.promote("kmeans", 2)
    clock[0] = 310.0
    library.refresh()
    entry = library.get("kmeans", 300.0)
    assert entry.promoted is not None and entry.promoted.card.version == 2


def test_a_reader_never_sees_half_an_index(store: ModelStore, tmp_path: Path) -> None:
    stop = threading.Event()
    seen: list[Any] = []

    def read() -> None:
        other = ModelStore(str(tmp_path))
        while not stop.is_set():
            try:
                seen.append(other.index("kmeans").promoted)
            except Exception as error:
                seen.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        store.promote("kmeans", 1 + turn % 3)
    stop.set()
    reader.join()
    assert set(seen) <= {0, 1, 2, 3}
    assert not [path for path in (tmp_path / "kmeans").iterdir() if path.name.startswith(".")], "nothing is left lying about"
