"""How an observed value is compared with a limit; the functions take numbers and numpy columns alike."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

CONDITIONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "greater_than": (operator.gt, ">"),
    "greater_than_or_equal": (operator.ge, ">="),
    "less_than": (operator.lt, "<"),
    "less_than_or_equal": (operator.le, "<="),
    "equal": (operator.eq, "="),
    "not_equal": (operator.ne, "!="),
}
"""Function and symbol by the configuration's name."""
