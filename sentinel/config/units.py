"""Durations ("5m") and sizes ("10GB") as people write them in the configuration."""

import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w|y))+")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?", re.IGNORECASE)

DURATION_PATTERN: Final = r"^(\d+(\.\d+)?(ms|s|m|h|d|w|y))+$|^0$"
"""What a duration looks like, for the JSON Schema."""


def parse_duration(value: str | float) -> float:
    """Seconds of a duration: ``"500ms"``, ``"30s"``, ``"5m"``, ``"1h30m"``, ``"7d"``, ``"1y"`` (365 days), or a number of seconds.

    Raises:
        ValueError: when the text is not a duration, or the number is negative or not finite.
    """
    if isinstance(value, str):
        text = value.strip()
        if text == "0":
            return 0.0
        if len(text) > 40 or not _DURATION.fullmatch(text):
            raise ValueError("expected a duration such as 30s, 5m, 1h30m or 7d")
        return float(sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    if isinstance(value, bool) or not 0 <= value < 1e12:
        raise ValueError("expected a duration such as 30s, 5m, 1h30m or 7d")
    return float(value)


def format_duration(seconds: float) -> str:
    """The shortest text that parses back to the same seconds, in one unit (``300.0`` is ``5m``)."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds * 1000:.10g}ms"


def parse_size(value: str | int) -> int:
    """Bytes of a size: ``"4MB"`` (powers of ten), ``"4MiB"`` (powers of two), or a number of bytes.

    Raises:
        ValueError: when the text is not a size, or the number is negative.
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip()) if len(value) <= 40 else None
        if not match:
            raise ValueError("expected a size such as 512KB, 4MB or 10GiB")
        return int(float(match[1]) * _BYTES[(match[2] or "B").upper()])
    if isinstance(value, bool) or value < 0:
        raise ValueError("expected a size such as 512KB, 4MB or 10GiB")
    return value
