"""Refused events of a batch as dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sentinel.events.columns import IntColumn
from sentinel.events.rejects import Reject, dlq_record

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def dead_letters(
    rejects: Sequence[tuple[int, Reject]],
    values: Sequence[bytes | None],
    place_of: Callable[[int], Place],
    times_ms: Sequence[int] | IntColumn,
    now_ms: int,
) -> Iterator[tuple[int, str]]:
    """The row and the dead letter (JSON text) of each refusal; `values`, `place_of` and `times_ms` tell of the batch's rows."""
    for row, reject in rejects:
        topic, partition, offset = place_of(row)
        yield (
            row,
            dlq_record(
                values[row] or b"", reject, topic=topic, partition=partition, offset=offset, record_ms=int(times_ms[row]), failed_ms=now_ms
            ),
        )
