"""A second look at an event that is not in the canonical form: other names of fields, other units, other ways to write a time.

Only what was refused comes here, so that a well-formed event pays nothing. The names stand in a table with a version (`aliases/`), not in code: conventions
move. Nothing is guessed: a duration without a unit, a time without a zone and an unknown name leave the event refused, with its first reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from sentinel.events.model import Event, ZonedTime

DEFAULT_TENANT = "default"
_TABLE: dict[str, Any] = json.loads((Path(__file__).parent / "aliases" / "v1.json").read_text("utf-8"))
_EPOCH_DIVISORS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (float("inf"), 1e9))
"""(below this number, units a second): seconds until the year 5138, then milli-, micro-, nanoseconds from 1973 on."""
_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(µs|[a-zA-Z]+)")
_ABSENT = object()

OutOfRange = Literal["dlq", "clamp"]


class NormalisationSettings(msgspec.Struct, frozen=True):
    """Attributes:
    enabled: whether refused events are looked at again.
    applications: application → tenant, for events that name no tenant.
    timestamps: what becomes of a time outside the accepted span: a dead letter, or the nearest time inside it.
    tenant_timestamps: the same by tenant.
    """

    enabled: bool = True
    applications: Mapping[str, str] = {}
    timestamps: OutOfRange = "dlq"
    tenant_timestamps: Mapping[str, OutOfRange] = {}


class Normaliser:
    """Rewrites events into the canonical form."""

    def __init__(self, settings: NormalisationSettings = NormalisationSettings(), sender: str = DEFAULT_TENANT) -> None:  # noqa: B008 - immutable
        self.settings = settings
        self._sender = sender

    def of_sender(self, tenant_id: str) -> Normaliser:
        """For a door that knows who sends: events that name no tenant are the sender's own, whatever `applications` says of names that others may use too."""
        if tenant_id == self._sender:
            return self
        return Normaliser(msgspec.structs.replace(self.settings, applications={}), tenant_id)

    def lacks_tenant(self, event: Event, value: bytes) -> bool:
        """Whether a decoded event is of nobody only because its tenant stands under another name, or follows from the application."""
        return event.tenant_id == DEFAULT_TENANT and (event.application_id in self.settings.applications or b'"tenantId"' in value)

    def rewrite(self, value: bytes, oldest: datetime, newest: datetime) -> bytes | None:
        """The event in canonical form; None when nothing in it could be understood otherwise. Whether it is valid now is for the decoder to say."""
        if not self.settings.enabled:
            return None
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(document, dict):
            return None
        changed = _rename(document, _TABLE["event"])
        data, metadata = document.get("data"), document.get("metadata")
        if isinstance(data, dict):
            changed |= _rename(data, _TABLE["data"])
            changed |= _durations(data, "duration_ms" if "span_id" in data else "latency_ms")
            changed |= _first_of_list(data, "finish_reason") | _replace(data, "status") | _replace(data, "finish_reason")
        if isinstance(metadata, dict):
            changed |= _rename(metadata, _TABLE["metadata"]) | _replace(metadata, "environment")
        changed |= _replace(document, "event_type") | self._tenant(document) | self._time(document, oldest, newest)
        return orjson.dumps(document) if changed else None

    def _tenant(self, document: dict[str, Any]) -> bool:
        if self._sender != DEFAULT_TENANT:
            if document.get("tenant_id") is not None:
                return False
            document["tenant_id"] = self._sender
            return True
        tenant = self.settings.applications.get(str(document.get("application_id")))
        if tenant is None or document.get("tenant_id", DEFAULT_TENANT) != DEFAULT_TENANT:
            return False
        document["tenant_id"] = tenant
        return True

    def _time(self, document: dict[str, Any], oldest: datetime, newest: datetime) -> bool:
        sent = document.get("timestamp")
        when = read_time(sent)
        if when is None:
            return False
        tenant = document.get("tenant_id", DEFAULT_TENANT)
        action = self.settings.tenant_timestamps.get(tenant, self.settings.timestamps) if isinstance(tenant, str) else "dlq"
        clamped = min(max(when, oldest), newest) if action == "clamp" else when
        if clamped == when and _is_canonical(sent):
            return False
        document["timestamp"] = clamped.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if clamped != when:
            document["timestamp_sent"] = sent
        return True


def settings_from(snapshot: Mapping[str, Any]) -> NormalisationSettings:
    """The settings of a published configuration."""
    section = snapshot.get("ingestion", {}).get("normalisation", {})
    own = {tenant: settings["timestamps"] for tenant, settings in snapshot.get("tenants", {}).items() if settings.get("timestamps")}
    return NormalisationSettings(section.get("enabled", True), section.get("applications", {}), section.get("timestamps", "dlq"), own)


def read_time(value: object) -> datetime | None:
    """A time as people and programs write it: epoch seconds, ms, µs or ns (number or text), ISO 8601 with a zone, an HTTP date; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return _epoch(float(text))
        for read in (datetime.fromisoformat, parsedate_to_datetime):
            try:
                found = read(text)
            except (ValueError, TypeError, OverflowError):
                continue
            return found if found.tzinfo is not None else None
        return None
    return _epoch(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_canonical(value: object) -> bool:
    try:
        msgspec.convert(value, ZonedTime)
    except msgspec.ValidationError:
        return False
    return True


def _epoch(number: float) -> datetime | None:
    if not 1e8 <= number < 1e19:
        return None
    divisor = next(divisor for limit, divisor in _EPOCH_DIVISORS if number < limit)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(number * (1e6 / divisor)))


def _rename(owner: dict[str, Any], names: Mapping[str, list[str]]) -> bool:
    """The first of the other names that is there goes to the canonical one, where that is absent."""
    changed = False
    for name, others in names.items():
        if owner.get(name) is not None:
            continue
        for other in others:
            found = _take(owner, other)
            if found is not _ABSENT:
                owner[name] = found
                changed = True
                break
    return changed


def _take(owner: dict[str, Any], name: str) -> Any:
    """Removes and returns a member: `a.b` is a key of that name, or `b` in `a`."""
    if owner.get(name) is not None:
        return owner.pop(name)
    outer, dot, inner = name.partition(".")
    nested = owner.get(outer) if dot else None
    return nested.pop(inner) if isinstance(nested, dict) and nested.get(inner) is not None else _ABSENT


def _durations(data: dict[str, Any], name: str) -> bool:
    """`latency_s: 1.2`, `latencySeconds: 1.2`, `latency: "1200ms"`, or `latency: 1.2` beside `latency_unit: s`."""
    if data.get(name) is not None:
        return False
    units: dict[str, float] = _TABLE["duration_units"]
    for base in _TABLE["durations"][name]:
        for unit, factor in units.items():
            for spelled in (f"{base}_{unit}", f"{base}{unit}" if unit[0].isupper() else ""):
                if isinstance(number := data.get(spelled), int | float):
                    del data[spelled]
                    data[name] = number * factor
                    return True
        found = data.get(base)
        if isinstance(found, str) and (match := _DURATION.fullmatch(found)) and match[2] in units:
            data[name] = float(match[1]) * units[match[2]]
        elif isinstance(found, int | float) and data.get(f"{base}_unit") in units:
            data[name] = found * units[data.pop(f"{base}_unit")]
        else:
            continue
        del data[base]
        return True
    return False


def _first_of_list(owner: dict[str, Any], name: str) -> bool:
    found = owner.get(name)
    if not isinstance(found, list) or not found:
        return False
    owner[name] = found[0]
    return True


def _replace(owner: dict[str, Any], name: str) -> bool:
    found = owner.get(name)
    known = _TABLE["values"][name].get(found) if isinstance(found, str) else None
    if known is None:
        return False
    owner[name] = known
    return True
