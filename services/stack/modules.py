"""Optional parts of the product, looked up by module name."""

from __future__ import annotations

from importlib.util import find_spec


def importable(name: str) -> bool:
    """Whether a module exists; only its parent packages are imported."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
