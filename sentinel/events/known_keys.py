"""Whether an event holds keys that the decoder skips: the producer's own, in which anything may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from sentinel.events.model import Data, Event, Metadata, Parameters, Source

_UNREAD = Raw(b"null")


_HARMLESS: list[tuple[str, Any, Any]] = [
    ("provider", Annotated[str, Meta(pattern=r"^[a-z][a-z_.-]{0,39}$")] | None, None),
    ("time_to_first_token_ms", Annotated[float, Meta(ge=0, lt=1e9)] | None, None),
]
"""Keys that the doors of OpenTelemetry write into every event and the decoder skips: known as long as their values can hold nothing of a person."""


def _raw_fields(
    struct: type[msgspec.Struct], nested: dict[str, type[msgspec.Struct]], more: Sequence[tuple[str, Any, Any]] = ()
) -> type[msgspec.Struct]:
    """A struct with the same keys, whose values are left unread, and `more`."""
    fields: list[tuple[str, Any, Any]] = [
        (name, nested[name] | None, None) if name in nested else (name, Raw, _UNREAD) for name in struct.__struct_fields__
    ]
    return msgspec.defstruct(f"Raw{struct.__name__}", [*fields, *more], forbid_unknown_fields=True, gc=False)


_PARAMETERS = _raw_fields(Parameters, {})
_KEYS = _raw_fields(
    Event,
    {
        "source": _raw_fields(Source, {}),
        "data": _raw_fields(Data, {"parameters": _PARAMETERS}, _HARMLESS),
        "metadata": _raw_fields(Metadata, {}),
    },
)
_decode = msgspec.json.Decoder(_KEYS).decode


def has_unknown_keys(value: bytes) -> bool:
    """For an event that decodes. About a microsecond: values are skipped, not read."""
    try:
        _decode(value)
    except (msgspec.ValidationError, UnicodeDecodeError):
        # The second one: a key that is not UTF-8 is an unknown one, which the decoder of events skips unread.
        return True
    return False
