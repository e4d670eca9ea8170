"""Flink types of the flat rows that go to SQL sinks."""

from __future__ import annotations

from pyflink.common import Types
from pyflink.common.typeinfo import RowTypeInfo

from sentinel.sink_rows import Columns

_TYPES = {str: Types.STRING, int: Types.LONG, float: Types.DOUBLE}
_SQL = {str: "STRING", int: "BIGINT", float: "DOUBLE"}


def row_type(columns: Columns) -> RowTypeInfo:
    """The type of a stream of such rows."""
    return Types.ROW_NAMED(list(columns), [_TYPES[kind]() for kind in columns.values()])


def sql_columns(columns: Columns) -> str:
    """The column list of a table of such rows."""
    return ", ".join(f"`{name}` {_SQL[kind]}" for name, kind in columns.items())
