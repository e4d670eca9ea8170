"""Building blocks of the configuration model: strict keys in camelCase or snake_case, durations, sizes, references to secrets."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from sentinel.config.regex import check_regex
from sentinel.config.units import DURATION_PATTERN, format_duration, parse_duration, parse_size
from sentinel.metrics_vocabulary import METRICS

REFERENCE_PATTERN: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
_REFERENCE: Final = re.compile(REFERENCE_PATTERN)


def camel(name: str) -> str:
    """`group_wait` is `groupWait`; a digit after the underscore keeps it (`rollup_1m`)."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


class ConfigModel(BaseModel):
    """A section of the configuration. Keys may be written in camelCase (canonical) or snake_case; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=camel, populate_by_name=True, allow_inf_nan=False, frozen=True, protected_namespaces=()
    )


def _duration(value: Any) -> float:
    if isinstance(value, str | int | float):
        return parse_duration(value)
    raise ValueError("expected a duration such as 30s, 5m, 1h30m or 7d")


def _positive_duration(value: Any) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise ValueError("expected a duration longer than zero, such as 30s or 5m")
    return seconds


def _size(value: Any) -> int:
    if isinstance(value, str | int):
        return parse_size(value)
    raise ValueError("expected a size such as 512KB, 4MB or 10GiB")


def _secret(value: Any) -> Any:
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        # The value is masked: an error report ends up in terminals and logs.
        raise PydanticCustomError(
            "literal_secret", "expected a reference ${NAME} to an environment variable, or the same key with File and a path"
        )
    return value


def _metric(value: Any) -> Any:
    if isinstance(value, str) and value not in METRICS:
        raise PydanticCustomError("unknown_name", "expected a metric", {"valid": sorted(METRICS)})
    return value


def _regex(value: Any) -> Any:
    if isinstance(value, str):
        check_regex(value)
    return value


_DURATION_SCHEMA: Final = {
    "anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"type": "number", "minimum": 0}],
    "examples": ["30s", "5m"],
}
_SIZE_SCHEMA: Final = {
    "anyOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*([KMGTkmgt]?[Ii]?[Bb])?$"}, {"type": "integer", "minimum": 0}],
    "examples": ["4MB", "10GB"],
}

_write_duration = PlainSerializer(format_duration, return_type=str, when_used="json")
Duration = Annotated[float, BeforeValidator(_duration), _write_duration, WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds; written as "5m"."""
PositiveDuration = Annotated[float, BeforeValidator(_positive_duration), _write_duration, WithJsonSchema(_DURATION_SCHEMA)]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes; written as "4MB"."""
Secret = Annotated[str, BeforeValidator(_secret), Field(pattern=rf"^{REFERENCE_PATTERN}$")]
"""A reference `${NAME}`; a secret in plain text is refused, since the published configuration would show it."""
Reference = Annotated[str, Field(pattern=rf"^{REFERENCE_PATTERN}$")]
MetricName = Annotated[str, BeforeValidator(_metric), WithJsonSchema({"type": "string", "enum": sorted(METRICS)})]
Regex = Annotated[str, BeforeValidator(_regex)]
"""A regular expression that RE2 compiles."""
Port = Annotated[int, Field(ge=0, le=65535)]
PositiveInt = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
"""An identifier: letters, digits, and . _ : / - inside."""
