"""Building blocks of the contract models. Each says exactly what its JSON Schema says, so that both accept and refuse the same."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_DATE: Final = r"[0-9]{4}-(((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01]))|((0[469]|11)-(0[1-9]|[12][0-9]|30))|(02-(0[1-9]|[12][0-9])))"
TIMESTAMP_PATTERN: Final = (
    rf"^{_DATE}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,9}})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
CLOCK_PATTERN: Final = r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$"


class OpenModel(BaseModel):
    """A record that others write: keys that we do not know are theirs, and kept."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class ClosedModel(BaseModel):
    """Something that people write for us: an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def matching(pattern: str, expected: str, **schema: Any) -> Any:
    """A string type that must match the pattern; `expected` goes into the error message, `schema` into the JSON Schema."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> Any:
        if isinstance(value, str) and not compiled.search(value):
            raise PydanticCustomError("pattern", "expected {expected}", {"expected": expected})
        return value

    return Annotated[str, BeforeValidator(check), Field(json_schema_extra={"pattern": pattern, **schema})]


def _integral(value: Any) -> Any:
    """JSON has one number type: 5.0 is the integer 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Uuid = matching(UUID_PATTERN, "a UUID such as 550e8400-e29b-41d4-a716-446655440000", format="uuid")
Timestamp = matching(TIMESTAMP_PATTERN, "an RFC 3339 time such as 2025-11-06T12:34:56.789Z", format="date-time")
Window = matching(r"^[0-9]+(s|m|h|d)$", "a whole number and s, m, h or d, such as 5m")
Frequency = matching(r"^[0-9]+(s|m|h)$", "a whole number and s, m or h, such as 15m")
Clock = matching(CLOCK_PATTERN, "a time of day HH:MM, such as 09:30")
Integer = Annotated[int, BeforeValidator(_integral)]
Count = Annotated[int, Field(ge=0), BeforeValidator(_integral)]
Amount = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Severity = Literal["info", "warning", "critical"]
DetectorType = Literal["statistical", "rule", "ml", "behavioral"]
