"""The numbers of a batch of events as columns, which per-event rules and panes both read.

Absent numbers are NaN in float columns. `times_ms` is the event time that the system uses: the Kafka record's timestamp, not the body's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sentinel.events.model import Data, Event
from sentinel.events.names import NOBODY, Key, Names

FloatColumn = npt.NDArray[np.float64]
IntColumn = npt.NDArray[np.int64]
BoolColumn = npt.NDArray[np.bool_]

_PROMPT, _RESPONSE, _FAILURE, _OTHER = range(4)
_KINDS = {"llm.request": _PROMPT, "llm.response": _RESPONSE, "llm.error": _FAILURE, "llm.metric": _OTHER, "llm.trace": _OTHER}
_NO_STATUS, _SUCCESS, _BAD = range(3)
_STATUSES = {None: _NO_STATUS, "success": _SUCCESS}
_NAN = float("nan")


@dataclass
class Columns:
    """One entry an event. Latency in ms, cost in USD; keys and users by their numbers in `names`."""

    times_ms: IntColumn
    is_prompt: BoolColumn
    is_call: BoolColumn
    is_error: BoolColumn
    latency_ms: FloatColumn
    total_tokens: FloatColumn
    prompt_tokens: FloatColumn
    completion_tokens: FloatColumn
    cost: FloatColumn
    key_numbers: IntColumn
    user_numbers: IntColumn
    names: Names

    @cached_property
    def keys(self) -> list[Key]:
        """(tenant, application, model)"""
        keys = self.names.keys
        return [keys[number] for number in self.key_numbers.tolist()]

    @cached_property
    def users(self) -> list[str]:
        """The user id, or ''."""
        users = self.names.users
        return [users[number] for number in self.user_numbers.tolist()]


def columns_of(
    events: Sequence[Event], times_ms: IntColumn, names: Names | None = None, cost_of: Callable[[Data], float | None] | None = None
) -> Columns:
    """Extract the columns; `times_ms` has one event time for each event, `names` numbers its names.

    `cost_of` gives the cost of a successful call that names none, or 0; it is entered in the event too.
    """
    names = names or Names()
    kinds = np.array([_KINDS[event.event_type] for event in events], np.int8)
    data = [event.data for event in events]
    total = _floats([_NAN if (count := d.total_tokens) is None else count for d in data])
    prompt = _floats([_NAN if (count := d.prompt_tokens) is None else count for d in data])
    completion = _floats([_NAN if (count := d.completion_tokens) is None else count for d in data])
    cost = _floats([_NAN if (value := d.cost) is None else value for d in data])
    statuses = np.array([_STATUSES.get(d.status, _BAD) for d in data], np.int8)
    if cost_of is not None:
        for row in np.flatnonzero((statuses == _SUCCESS) & ~(cost > 0)).tolist():
            computed = data[row].cost = cost_of(data[row])
            cost[row] = _NAN if computed is None else computed
    is_failure = kinds == _FAILURE
    is_call = (kinds == _RESPONSE) | is_failure
    key, user = names.key_numbers, names.user_numbers
    return Columns(
        times_ms=times_ms,
        is_prompt=kinds == _PROMPT,
        is_call=is_call,
        is_error=is_failure | (is_call & (statuses == _BAD)),
        latency_ms=_floats([_NAN if (value := d.latency_ms) is None else value for d in data]),
        # A response that names no total has the sum of its parts, when it names both.
        total_tokens=np.where(np.isnan(total), prompt + completion, total),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=cost,
        key_numbers=np.array(
            [key[event.tenant_id, event.application_id, d.model] for event, d in zip(events, data, strict=True)], np.int64
        ),
        user_numbers=np.array(
            [user[event.tenant_id, m.user_id] if (m := event.metadata) is not None and m.user_id else NOBODY for event in events], np.int64
        ),
        names=names,
    )


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of several batches as those of one; at least one part, all with the same `names`."""
    if len(parts) == 1:
        return parts[0]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Columns(**arrays, names=parts[0].names)


_ARRAYS = tuple(field.name for field in fields(Columns) if field.name != "names")


def _floats(values: list[float] | list[float | int]) -> FloatColumn:
    # Made of numbers only: numpy takes three times as long for a list that holds None.
    return np.array(values, np.float64)
