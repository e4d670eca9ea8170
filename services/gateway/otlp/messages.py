"""Text of prompts and answers, whatever shape an instrumentation gives its messages."""

from __future__ import annotations

from typing import Any

import msgspec

_DEEPEST = 8


def text_of(value: Any) -> str | None:
    """All texts of the messages, a line each, in order. Takes plain text, JSON text, a message, a list of messages, parts, or choices."""
    found: list[str] = []
    _collect(value, found, 0)
    text = "\n".join(part for part in found if part)
    return text or None


def _collect(value: Any, found: list[str], depth: int) -> None:
    if value is None or depth > _DEEPEST:
        return
    if isinstance(value, str):
        document = _json(value) if value[:1] in ("[", "{") else None
        if document is None:
            found.append(value)
        else:
            _collect(document, found, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found, depth + 1)
    elif isinstance(value, dict):
        _collect_from(value, found, depth)


def _collect_from(message: dict[str, Any], found: list[str], depth: int) -> None:
    for key in ("parts", "content", "text", "messages", "message", "choices", "prompt", "completion"):
        if message.get(key) is not None:
            _collect(message[key], found, depth + 1)
            return
    numbered = [message[key] for key in sorted(message) if key.startswith("contents.") and key.endswith("text")]
    if numbered:
        _collect(numbered, found, depth + 1)
    elif not {"tool_calls", "role", "type", "finish_reason"} & message.keys():
        found.append(msgspec.json.encode(message).decode())


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
