"""Where models lie. Apart from the store, so that reading a configuration loads no storage library."""

from __future__ import annotations

import os
from pathlib import Path


def root_of(path: str) -> str:
    """An absolute path or URI from `detection.mlModels.path`: a relative one lies in the data folder of the stack (`$SENTINEL_HOME/data`)."""
    if "://" in path or Path(path).is_absolute():
        return path
    return str(Path(os.environ.get("SENTINEL_HOME") or ".sentinel").resolve() / "data" / path)
