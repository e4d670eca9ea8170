"""How a batch of rows becomes columns in a Python worker: without copies that nothing needs.

PyFlink hands a batch to Arrow as a file, whose default way of reading copies it three times; `read` gives it the bytes that are there already. And it lets
Arrow look for equal values, to make one Python object of them: it hashes every record for that, and no record is like another.
"""

from __future__ import annotations

from typing import Any

from sentinel.once import once


@once
def read_batches_in_place() -> None:
    """From the next batch of this process on, in all its vectorised functions."""
    # A worker has loaded these. The process that only describes a topology has not, and would spend a second on it.
    from pyflink.fn_execution import ResettableIO, coder_impl_fast
    from pyflink.table.types import LocalZonedTimestampType, RowType

    by_pyflink = coder_impl_fast.arrow_to_pandas

    def to_series(timezone: Any, types: list[Any], batches: list[Any]) -> list[Any]:
        if len(batches) != 1 or any(isinstance(each, RowType | LocalZonedTimestampType) for each in types):
            return by_pyflink(timezone, types, batches)  # type: ignore[no-any-return]
        return [column.to_pandas(date_as_object=True, deduplicate_objects=False) for column in batches[0].columns]

    coder_impl_fast.arrow_to_pandas = to_series
    ResettableIO.ResettableIO.read = _read


def _read(batch: Any, size: int = -1) -> memoryview:
    begin = batch._input_offset
    end = batch._size if size < 0 else min(batch._size, begin + size)
    batch._input_offset = end
    return memoryview(batch._input_bytes)[begin:end]
