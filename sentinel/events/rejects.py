"""Why an event was refused: where in the document, what was expected, what was found; and the DLQ record that keeps its bytes."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import msgspec

from sentinel.identity import stable_id
from sentinel.timestamps import to_rfc3339

_PATH_SUFFIX = re.compile(r" - at `(?P<path>[^`]*)`$")
_EXPECTED_GOT = re.compile(r"^Expected `?(?P<expected>.*?)`?(?:, got `(?P<found>.*?)`)?$", re.S)
_WHAT_IS_WANTED = {
    "Invalid RFC3339 encoded datetime": "an RFC 3339 time, as 2025-11-06T12:34:56.789Z",
    "Invalid UUID": "a UUID, as 550e8400-e29b-41d4-a716-446655440000",
    "Number out of range": "a finite number",
}
_TEXT_LIMIT = 300


class Reject(NamedTuple):
    """One refusal. `path` is a JSON path such as `$.data.latency_ms`."""

    path: str
    expected: str
    found: str
    reason: str
    tenant_id: str | None = None


class RefusedEventError(ValueError):
    """A check beyond the types failed; carries the refusal."""

    def __init__(self, path: str, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}, got {_brief(found)} - at `{path}`")
        self.reject = Reject(path, expected, _brief(found), f"expected {expected}, got {_brief(found)}")


def reject_from_error(error: Exception, value: bytes) -> Reject:
    """The refusal that a decoding error stands for, with the offending value and the tenant read from the document where it can be read."""
    if isinstance(error, RefusedEventError):
        return error.reject._replace(tenant_id=_tenant(_document(value)))
    if isinstance(error, RecursionError):
        return Reject("$", "a document of at most about 1,000 levels", "deeper nesting", "the document is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return Reject(
            "$", "one JSON object in UTF-8", _brief(value[:80].decode(errors="backslashreplace")) or "no bytes", str(error)[:_TEXT_LIMIT]
        )
    return _reject_from_validation(str(error), _document(value))


def _reject_from_validation(text: str, document: object) -> Reject:
    suffix = _PATH_SUFFIX.search(text)
    path = suffix["path"] if suffix else "$"
    reason = text[: suffix.start()] if suffix else text
    missing = re.search(r"missing required field `(.*?)`", reason)
    if missing:
        return Reject(f"{path}.{missing[1]}", "a value", "nothing", reason, _tenant(document))
    value = _value_at(document, path)
    enum = re.match(r"Invalid enum value", reason)
    if enum:
        return Reject(path, _choices(path), _brief(value), reason, _tenant(document))
    wanted = _EXPECTED_GOT.match(reason)
    expected = wanted["expected"].replace("`", "") if wanted else _WHAT_IS_WANTED.get(reason, "a value of the schema")
    found = _brief(value) if value is not None else ((wanted and wanted["found"]) or "another value")
    return Reject(path, expected, found, reason[:_TEXT_LIMIT], _tenant(document))


_CHOICES = {
    "$.event_type": "one of llm.request, llm.response, llm.error, llm.metric, llm.trace",
    "$.data.finish_reason": "one of stop, length, content_filter, error",
    "$.metadata.environment": "one of dev, staging, prod",
}


def _choices(path: str) -> str:
    return _CHOICES.get(path, "one of the values that the schema lists")


def _document(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _tenant(document: object) -> str | None:
    tenant = document.get("tenant_id") if isinstance(document, dict) else None
    # A broken document may name anything; what is no name at all is left out, since it goes on into databases.
    return tenant[:256] if isinstance(tenant, str) and tenant.isprintable() else None


def _value_at(document: object, path: str) -> object:
    for name in path.removeprefix("$").strip(".").split("."):
        if not name:
            continue
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}… ({len(text):,} characters)"


def dlq_record(
    value: bytes, reject: Reject, *, topic: str, partition: int, offset: int, record_ms: int, failed_ms: int, whole_bytes: int | None = None
) -> str:
    """The DLQ record (JSON text) of one refused event, with its place in Kafka and its original bytes; `whole_bytes` is their number when `value` is cut."""
    whole = len(value) if whole_bytes is None else whole_bytes
    return msgspec.json.encode(
        {
            "dlq_id": stable_id("dlq", topic, partition, offset),
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "record_timestamp": to_rfc3339(record_ms),
            "failed_at": to_rfc3339(failed_ms),
            "tenant_id": reject.tenant_id,
            "path": reject.path,
            "expected": reject.expected,
            "found": reject.found,
            "reason": reject.reason,
            "original_base64": base64.b64encode(value).decode(),
            "original_bytes": whole,
            "truncated": whole > len(value),
        }
    ).decode()
