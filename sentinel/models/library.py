"""The models of a running job: loaded once a process, read again when their index has changed.

A model that cannot be read is said once in the log, and the version loaded before stays in force; without one, the detectors that name it
are idle. Neither stops anything else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from sentinel.models.artifact import Model
from sentinel.models.errors import ModelError
from sentinel.models.store import Index, ModelStore

LEAST_S = 1.0
"""Between two looks at an index, however often somebody asks for one."""
_log = logging.getLogger(__name__)


class Entry(msgspec.Struct):
    """One model as a job knows it: `promoted` and `shadow` are None when there is none, or none that can be read."""

    promoted: Model | None = None
    shadow: Model | None = None
    error: str = ""
    checked_s: float = -1e18
    index: Index | None = None


class ModelLibrary:
    """The models of one store. `clock` gives seconds (monotonic)."""

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._clock = clock
        self._store: ModelStore | None = None
        self._entries: dict[str, Entry] = {}
        self._asked_s = -1e18

    def refresh(self) -> None:
        """Look at every index again at the next use."""
        self._asked_s = self._clock()

    def get(self, name: str, reload_s: float) -> Entry:
        """A model, at most `reload_s` old; never raises."""
        entry = self._entries.get(name)
        now = self._clock()
        if entry is None:
            entry = self._entries[name] = Entry()
        elif now - entry.checked_s < (LEAST_S if entry.checked_s <= self._asked_s else max(LEAST_S, reload_s)):
            return entry
        entry.checked_s = now
        self._look(name, entry)
        return entry

    def _look(self, name: str, entry: Entry) -> None:
        try:
            self._store = self._store or ModelStore(self.root)
            index = self._store.index(name)
        except ModelError as error:
            self._failed(name, entry, str(error))
            return
        if entry.index == index and not entry.error:
            return
        entry.index, problems = index, []
        for place in ("promoted", "shadow"):
            version, held = getattr(index, place), getattr(entry, place)
            if held is not None and held.card.version == version:
                continue
            try:
                fresh = self._store.load(name, version) if version else None
            except ModelError as error:
                problems.append(f"{place} version {version}: {error}")
                continue
            setattr(entry, place, fresh)
            _log.info("model %s: %s version is now %s", name, place, version or "none")
        if problems:
            self._failed(name, entry, "; ".join(problems))
        else:
            entry.error = ""

    def _failed(self, name: str, entry: Entry, error: str) -> None:
        if error != entry.error:
            held = entry.promoted.card.version if entry.promoted else 0
            kept = f"version {held} stays in force" if held else "its detectors are idle"
            _log.error("model %s cannot be used, %s: %s", name, kept, error)
        entry.error = error


_libraries: dict[str, ModelLibrary] = {}


def library(root: str) -> ModelLibrary:
    """The library of this process for a store."""
    if root not in _libraries:
        _libraries[root] = ModelLibrary(root)
    return _libraries[root]


def refresh_all() -> None:
    """A new or repeated configuration record has come: look at the stores again."""
    for held in _libraries.values():
        held.refresh()
