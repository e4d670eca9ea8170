"""Stored states carry a version; another version is refused in words, never misread."""

from __future__ import annotations

from typing import Any


class StateError(ValueError):
    """A stored state cannot be read: it was written by another version, or is no state at all."""


def check_version(state: Any, expected: int, owner: str) -> list[Any]:
    """The state's fields after its version; raises StateError naming both versions."""
    if not isinstance(state, list | tuple) or not state or state[0] != expected:
        found = state[0] if isinstance(state, list | tuple) and state else type(state).__name__
        raise StateError(f"{owner}: state version {found!r} found, this release reads version {expected}")
    return list(state[1:])
