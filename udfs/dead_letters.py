"""Refused events of a batch as dead letters, each in the row of its record."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sentinel.events.rejects import Reject, dlq_record


def place_dead_letters(
    column: list[str | None],
    rejects: Sequence[tuple[int, Reject]],
    values: Sequence[bytes | None],
    topic: pd.Series,
    partition: pd.Series,
    offset: pd.Series,
    times_ms: Sequence[int],
    now_ms: int,
) -> None:
    """Write the dead letter (JSON text) of each refusal into `column`; the other arguments are the columns of the batch."""
    for row, reject in rejects:
        column[row] = dlq_record(
            values[row] or b"",
            reject,
            topic=topic.iat[row],
            partition=int(partition.iat[row]),
            offset=int(offset.iat[row]),
            record_ms=int(times_ms[row]),
            failed_ms=now_ms,
        )
