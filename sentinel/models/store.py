"""Models in object storage: immutable versions, and one small index that says which of them is in force.

    <root>/<name>/<version>/model.npz, card.json
    <root>/<name>/index.json        promoted, shadow, earlier promotions, checksum of every card

The root is a folder, or the URI of any file system that Arrow knows (`file://`, `s3://`, `gs://`). A version is written below a name that
nobody reads and then moved, the index is replaced as a whole: a reader sees either state, never a half.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import msgspec
from pyarrow import fs

from sentinel.models.artifact import MAX_BYTES, Card, Model, card_bytes, checksum, read_card, read_model
from sentinel.models.errors import ModelError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
KEPT = 20
"""Earlier promotions that are remembered."""


class Index(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is in force. 0: none. `earlier`: promoted before, newest last. `cards`: SHA-256 of each version's card."""

    format: int = 1
    promoted: int = 0
    shadow: int = 0
    earlier: list[int] = []
    cards: dict[int, str] = {}


class ModelStore:
    """One root. Every method raises ModelError when the storage cannot be used, naming the place."""

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            if "://" in root:
                self._files, self._base = fs.FileSystem.from_uri(root)
            else:
                self._files, self._base = fs.LocalFileSystem(), str(Path(root).resolve())
        except (OSError, ValueError) as error:
            raise ModelError(f"model store {root}: {error}") from None

    def names(self) -> list[str]:
        """Models that have an index."""
        selector = fs.FileSelector(self._base, allow_not_found=True)
        try:
            folders = [info.base_name for info in self._files.get_file_info(selector) if info.type == fs.FileType.Directory]
        except OSError as error:
            raise ModelError(f"model store {self.root}: {error}") from None
        return sorted(name for name in folders if NAME.fullmatch(name) and self._read(f"{name}/index.json", missing=True) is not None)

    def index(self, name: str) -> Index:
        """Raises ModelError: no such model, or an index that is none."""
        place = f"{_checked(name)}/index.json"
        data = self._read(place, missing=True)
        if data is None:
            known = self.names()
            raise ModelError(f"model store {self.root}: there is no model {name!r}; there are: {', '.join(known) if known else 'none'}")
        try:
            found = msgspec.json.decode(data, type=Index)
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"{self.root}/{place}: expected the index of a model, found {len(data)} bytes that are none: {error}"
            ) from None
        if found.format != 1:
            raise ModelError(f"{self.root}/{place}: index format {found.format} found, this release reads format 1")
        return found

    def card(self, name: str, version: int) -> Card:
        """The card of a version, checked against the index."""
        index = self.index(name)
        if version not in index.cards:
            known = ", ".join(map(str, sorted(index.cards)))
            raise ModelError(f"model {name!r} has no version {version}; it has: {known or 'none'}")
        place = f"{name}/{version}/card.json"
        data = self._read(place)
        assert data is not None
        if checksum(data) != index.cards[version]:
            raise ModelError(
                f"{self.root}/{place}: SHA-256 {checksum(data)[:12]}…, expected {index.cards[version][:12]}…: it was cut or altered"
            )
        return read_card(data, f"{self.root}/{place}")

    def load(self, name: str, version: int) -> Model:
        """A version, whole and checked."""
        card = self.card(name, version)
        place = f"{name}/{version}/model.npz"
        data = self._read(place)
        assert data is not None
        return read_model(card, data, f"{self.root}/{place}")

    def next_version(self, name: str) -> int:
        """The number that the next version of a model gets."""
        if self._read(f"{_checked(name)}/index.json", missing=True) is None:
            return 1
        return max(self.index(name).cards, default=0) + 1

    def add(self, card: Card, arrays: bytes) -> None:
        """Store a new version. It is in force nowhere yet."""
        name, version = _checked(card.name), card.version
        first = self._read(f"{name}/index.json", missing=True) is None
        index = Index() if first else self.index(name)
        if version in index.cards:
            raise ModelError(f"model {name!r} has a version {version} already: versions never change")
        final, scratch = f"{name}/{version}", f"{name}/.new-{uuid.uuid4().hex}"
        written = card_bytes(card)
        try:
            self._files.create_dir(f"{self._base}/{scratch}", recursive=True)
            self._write(f"{scratch}/model.npz", arrays)
            self._write(f"{scratch}/card.json", written)
            self._move(scratch, final)
        except OSError as error:
            raise ModelError(f"model store {self.root}: version {version} of {name!r} was not stored: {error}") from None
        index.cards[version] = checksum(written)
        self._replace_index(name, index)

    def promote(self, name: str, version: int) -> int:
        """Put a version in force, after it was read and checked. Returns the one that was in force before (0: none)."""
        self.load(name, version)
        index = self.index(name)
        before = index.promoted
        if before and before != version:
            index.earlier = [*(number for number in index.earlier if number != before), before][-KEPT:]
        index.promoted = version
        if index.shadow == version:
            index.shadow = 0
        self._replace_index(name, index)
        return before

    def rollback(self, name: str) -> tuple[int, int]:
        """Put the version in force that was so before. Returns (now, before)."""
        index = self.index(name)
        if not index.earlier:
            raise ModelError(f"model {name!r}: no version was in force before {index.promoted or 'the first promotion'}")
        before, now = index.promoted, index.earlier[-1]
        self.load(name, now)
        index.promoted, index.earlier = now, index.earlier[:-1]
        self._replace_index(name, index)
        return now, before

    def set_shadow(self, name: str, version: int) -> None:
        """Let a version score beside the one in force; 0 ends it."""
        if version:
            self.load(name, version)
        index = self.index(name)
        if version and version == index.promoted:
            raise ModelError(f"model {name!r}: version {version} is in force; a shadow is another one")
        index.shadow = version
        self._replace_index(name, index)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _replace_index(self, name: str, index: Index) -> None:
        scratch = f"{name}/.index-{uuid.uuid4().hex}"
        try:
            self._write(scratch, msgspec.json.format(msgspec.json.encode(index), indent=2))
            self._move(scratch, f"{name}/index.json")
        except OSError as error:
            raise ModelError(f"model store {self.root}: the index of {name!r} was not replaced: {error}") from None

    def _move(self, source: str, target: str) -> None:
        if isinstance(self._files, fs.LocalFileSystem):
            # Arrow's move would fall back to a copy; a rename is all or nothing.
            Path(self._base, source).replace(Path(self._base, target))
        else:
            self._files.move(f"{self._base}/{source}", f"{self._base}/{target}")

    def _write(self, place: str, data: bytes) -> None:
        path = f"{self._base}/{place}"
        with self._files.open_output_stream(path) as stream:
            stream.write(data)
        if isinstance(self._files, fs.LocalFileSystem):
            with Path(path).open("rb") as file:
                os.fsync(file.fileno())

    def _read(self, place: str, missing: bool = False) -> bytes | None:
        path = f"{self._base}/{place}"
        try:
            info = self._files.get_file_info(path)
            if info.type == fs.FileType.NotFound:
                if missing:
                    return None
                raise ModelError(f"{self.root}/{place}: there is no such file")
            if info.size is not None and info.size > MAX_BYTES:
                raise ModelError(f"{self.root}/{place}: {info.size} bytes, expected at most {MAX_BYTES}")
            with self._files.open_input_stream(path) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise ModelError(f"{self.root}/{place}: {error}") from None


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ModelError(f"model name {name!r}: expected letters, digits and . _ - inside, at most 100")
    return name
