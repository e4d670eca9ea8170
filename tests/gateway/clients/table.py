"""Which fields of a call came through, by client: what a test saw, as a table of the documents."""

from __future__ import annotations

from typing import Any

Call = dict[str, Any]
"""The fields of one call: of its request, and of its response or error."""
CASES = ("success", "streamed", "failed")
_ANSWERED = ("success", "streamed")
FIELDS: dict[str, tuple[str, ...]] = {
    "model": CASES,
    "provider": CASES,
    "prompt": CASES,
    "parameters": CASES,
    "latency_ms": CASES,
    "response": _ANSWERED,
    "prompt_tokens": _ANSWERED,
    "completion_tokens": _ANSWERED,
    "total_tokens": _ANSWERED,
    "cost": _ANSWERED,
    "finish_reason": _ANSWERED,
    "time_to_first_token_ms": ("streamed",),
    "error_type": ("failed",),
    "message": ("failed",),
    "status_code": ("failed",),
    "user_id": CASES,
    "session_id": CASES,
    "environment": CASES,
    "trace_id": CASES,
}
"""Field → the calls that can have it."""


def fields_of(events: list[dict[str, Any]]) -> Call:
    """Of the events of one call."""
    call: Call = {}
    for event in events:
        call |= event["data"] | {name: value for name, value in (event.get("metadata") or {}).items() if name != "tags"}
    if call.get("model") == "unknown":
        del call["model"]
    return {name: value for name, value in call.items() if value is not None}


def rendered(seen: dict[str, dict[str, Call]]) -> str:
    """Markdown. `seen`: client → case → fields."""
    rows = [
        "`s` came through of a call that succeeded, `t` of a streamed one, `f` of a failed one; `·` did not; a dash stands where there is nothing to tell.",
        "",
        f"| Field | {' | '.join(seen)} |",
        "|---|" + "---|" * len(seen),
    ]
    for field, possible in FIELDS.items():
        cells = ["".join(_letter(field, case, possible, calls[case]) for case in CASES) for calls in seen.values()]
        rows.append(f"| `{field}` | {' | '.join(f'`{cell}`' for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _letter(field: str, case: str, possible: tuple[str, ...], call: Call) -> str:
    if case not in possible:
        return "-"
    return {"success": "s", "streamed": "t", "failed": "f"}[case] if field in call else "·"
