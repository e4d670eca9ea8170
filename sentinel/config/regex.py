"""Regular expressions of the configuration run on RE2: linear time, so that no pattern can stall a worker."""

from __future__ import annotations

from typing import Any, Final

import re2
from pydantic_core import PydanticCustomError

MAX_PATTERN_LENGTH: Final = 2000
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 22


def compile_regex(pattern: str) -> Any:
    """The compiled pattern.

    Raises:
        re2.error: when RE2 cannot run it (look-around and back-references are among what it cannot).
    """
    return re2.compile(pattern, _OPTIONS)


def check_regex(pattern: str) -> None:
    """Refuse a pattern that RE2 cannot run, saying what is wrong at which character.

    Raises:
        PydanticCustomError: with the reason and the position, counted from 1.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise PydanticCustomError("regex", "expected a regular expression of at most {limit} characters", {"limit": MAX_PATTERN_LENGTH})
    try:
        compile_regex(pattern)
    except re2.error as error:
        detail = error.args[0] if error.args else str(error)
        reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise PydanticCustomError(
            "regex",
            "expected a regular expression that RE2 can run: {reason} at character {position}",
            {"reason": reason, "position": _position(pattern, reason)},
        ) from None


def _position(pattern: str, reason: str) -> int:
    # RE2 names the fragment that it stopped at, not its place.
    fragment = reason.rpartition(": ")[2]
    return max(pattern.find(fragment), 0) + 1
