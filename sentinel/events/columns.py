"""The numbers of a batch of events as columns, which per-event rules and panes both read.

Absent numbers are NaN in float columns. `times_ms` is the event time that the system uses: the Kafka record's timestamp, not the body's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sentinel.events.model import UNKNOWN_MODEL, Event

FloatColumn = npt.NDArray[np.float64]
IntColumn = npt.NDArray[np.int64]
BoolColumn = npt.NDArray[np.bool_]

_PROMPT, _RESPONSE, _FAILURE, _OTHER = range(4)
_KINDS = {"llm.request": _PROMPT, "llm.response": _RESPONSE, "llm.error": _FAILURE, "llm.metric": _OTHER, "llm.trace": _OTHER}
_NAN = float("nan")


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
    kinds = np.array([_KINDS[event.event_type] for event in events], np.int8)
    data = [event.data for event in events]
    total = _floats([_NAN if (count := d.total_tokens) is None else count for d in data])
    prompt = _floats([_NAN if (count := d.prompt_tokens) is None else count for d in data])
    completion = _floats([_NAN if (count := d.completion_tokens) is None else count for d in data])
    is_failure = kinds == _FAILURE
    is_call = (kinds == _RESPONSE) | is_failure
    bad_status = np.array([d.status is not None and d.status != "success" for d in data], np.bool_)
    return Columns(
        times_ms=times_ms,
        is_prompt=kinds == _PROMPT,
        is_call=is_call,
        is_error=is_failure | (is_call & bad_status),
        latency_ms=_floats([_NAN if (value := d.latency_ms) is None else value for d in data]),
        # A response that names no total has the sum of its parts, when it names both.
        total_tokens=np.where(np.isnan(total), prompt + completion, total),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=_floats([_NAN if (value := d.cost) is None else value for d in data]),
        keys=[(event.tenant_id, event.application_id, event.data.model or UNKNOWN_MODEL) for event in events],
        users=[_clean(event.metadata.user_id) if event.metadata is not None and event.metadata.user_id else "" for event in events],
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of several batches as those of one; at least one part."""
    if len(parts) == 1:
        return parts[0]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Columns._fields[:-2]}
    keys, users = (list(chain.from_iterable(getattr(part, name) for part in parts)) for name in Columns._fields[-2:])
    return Columns(**arrays, keys=keys, users=users)


def _clean(user: str) -> str:
    """A user id as it may travel on: a producer's control characters would break lines and database texts."""
    return user if user.isprintable() else user.encode("unicode_escape").decode()


def _floats(values: list[float] | list[float | int]) -> FloatColumn:
    # Made of numbers only: numpy takes three times as long for a list that holds None.
    return np.array(values, np.float64)
