"""The numbers of a batch of events as columns, which per-event rules and panes both read.

Absent numbers are NaN in float columns. `times_ms` is the event time that the system uses: the Kafka record's timestamp, not the body's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sentinel.events.model import UNKNOWN_MODEL, Event

FloatColumn = npt.NDArray[np.float64]
IntColumn = npt.NDArray[np.int64]
BoolColumn = npt.NDArray[np.bool_]

_PROMPTS: frozenset[str | None] = frozenset(("llm.request",))
_FAILURES: frozenset[str | None] = frozenset(("llm.error",))
_CALLS: frozenset[str | None] = frozenset(("llm.response", "llm.error"))
_FINE: frozenset[str | None] = frozenset((None, "success"))


class Columns(NamedTuple):
    """One entry an event. Latency in ms, cost in USD."""

    times_ms: IntColumn
    is_prompt: BoolColumn
    is_call: BoolColumn
    is_error: BoolColumn
    latency_ms: FloatColumn
    total_tokens: FloatColumn
    prompt_tokens: FloatColumn
    completion_tokens: FloatColumn
    cost: FloatColumn
    keys: list[tuple[str, str, str]]
    """(tenant, application, model)"""
    users: list[str]
    """The user id, or ''."""


def columns_of(events: list[Event], times_ms: IntColumn) -> Columns:
    """Extract the columns; `times_ms` has one event time for each event."""
    kinds = [event.event_type for event in events]
    data = [event.data for event in events]
    latency_ms = _floats([d.latency_ms for d in data])
    total = _floats([d.total_tokens for d in data])
    prompt = _floats([d.prompt_tokens for d in data])
    completion = _floats([d.completion_tokens for d in data])
    is_prompt = _flags(kinds, _PROMPTS)
    is_failure = _flags(kinds, _FAILURES)
    is_call = _flags(kinds, _CALLS)
    bad_status = ~_flags([d.status for d in data], _FINE)
    return Columns(
        times_ms=times_ms,
        is_prompt=is_prompt,
        is_call=is_call,
        is_error=is_failure | (is_call & bad_status),
        latency_ms=latency_ms,
        # A response that names no total has the sum of its parts, when it names both.
        total_tokens=np.where(np.isnan(total), prompt + completion, total),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=_floats([d.cost for d in data]),
        keys=[(event.tenant_id, event.application_id, event.data.model or UNKNOWN_MODEL) for event in events],
        users=[_clean(event.metadata.user_id) if event.metadata is not None and event.metadata.user_id else "" for event in events],
    )


def _flags(values: list[str] | list[str | None], wanted: frozenset[str | None]) -> BoolColumn:
    # `map` over a bound method stays in C.
    return np.fromiter(map(wanted.__contains__, values), np.bool_, len(values))


def _clean(user: str) -> str:
    """A user id as it may travel on: a producer's control characters would break lines and database texts."""
    return user if user.isprintable() else user.encode("unicode_escape").decode()


def _floats(values: list[float | None] | list[int | None]) -> FloatColumn:
    # numpy turns None into NaN when the type is float.
    return np.array(values, dtype=np.float64)
