"""Detectors of other packages, found by entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

GROUP: Final = "llm_sentinel.detectors"
"""A package that brings detectors names them here, `name = "module:Class"`."""

_loaded: dict[str, Any] = {}
"""What was loaded once. Each key of a job has a detector of its own, and a look at everything that is installed takes 10 ms."""


def plugin_points() -> dict[str, EntryPoint]:
    """The installed detectors by name, none of them loaded. Of two with one name the first in the order of packages counts."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.dist.name if point.dist else "")):
        found.setdefault(point.name, point)
    return found


def load_plugin(name: str) -> Any:
    """The class behind a name.

    Raises:
        ValueError: nothing of that name is installed, or its module does not load.
    """
    if name in _loaded:
        return _loaded[name]
    points = plugin_points()
    if name not in points:
        installed = f"installed are {', '.join(points)}" if points else "none is installed"
        raise ValueError(f"expected an installed detector of the entry-point group {GROUP} ({installed}), found {name}")
    try:
        found = _loaded[name] = points[name].load()
    except Exception as error:
        raise ValueError(f"expected a detector that loads; {points[name].value} does not: {type(error).__name__}: {error}") from error
    return found
