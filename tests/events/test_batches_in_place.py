"""The columns of a batch are the same as PyFlink makes of it, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyflink.fn_execution import coder_impl_fast
from pyflink.fn_execution.ResettableIO import ResettableIO
from pyflink.table.types import DataTypes
from pyflink.table.utils import arrow_to_pandas

from udfs.batches_in_place import read_batches_in_place

ROWS = {
    "value": (pa.array([b"one", None, b"", b"one", b"x" * 100_000], pa.binary()), DataTypes.BYTES()),
    "place": (pa.array([2**62, 0, -1, 4, 5], pa.int64()), DataTypes.BIGINT()),
    "gaps": (pa.array([1, None, 3, None, 5], pa.int64()), DataTypes.BIGINT()),
    "text": (pa.array(["ä", "", None, "ä", "\0"], pa.string()), DataTypes.STRING()),
    "at": (pa.array([datetime(2026, 3, 1, 12, second, tzinfo=UTC) for second in range(5)], pa.timestamp("ms")), DataTypes.TIMESTAMP_LTZ(3)),
}


def as_sent(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays([column for column, _ in columns.values()], list(columns))
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("names", [("value", "place"), ("gaps", "text", "value"), ("value", "at")])
def test_a_batch_gives_the_columns_that_pyflink_would_make_of_it(names: tuple[str, ...]) -> None:
    read_batches_in_place()
    columns = {name: ROWS[name] for name in names}
    types = [kind for _, kind in columns.values()]
    stream = ResettableIO()
    for _ in range(2):
        stream.set_input_bytes(as_sent(columns))
        batch = pa.ipc.open_stream(stream).read_next_batch()
        series = coder_impl_fast.arrow_to_pandas("UTC", types, [batch])
        expected = arrow_to_pandas("UTC", types, [pa.ipc.open_stream(as_sent(columns)).read_next_batch()])
        assert [list(map(repr, each)) for each in series] == [list(map(repr, each)) for each in expected]
        assert [each.dtype for each in series] == [each.dtype for each in expected]


def test_nothing_is_copied_on_the_way_to_arrow() -> None:
    read_batches_in_place()
    stream = ResettableIO()
    data = bytes(1_000)
    stream.set_input_bytes(data)
    first, rest, none = stream.read(100), stream.read(), stream.read(5)
    assert (len(first), len(rest), len(none)) == (100, 900, 0)
    assert first.obj is data and rest.obj is data
