"""The execution environment of a topology, and the helpers for moving between tables and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyflink.common import Configuration, Types
from pyflink.common.typeinfo import RowTypeInfo
from pyflink.datastream import DataStream, KeyedStream, OutputTag, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import Schema, StreamTableEnvironment, Table
from pyflink.util.java_utils import get_java_class

MAX_PARALLELISM = 720
"""Key groups of every job; it can never change later without losing state."""

# Everything else is in flink-conf/. These belong to the code: the tables and uids below are written for them.
_FIXED = {
    "pipeline.max-parallelism": str(MAX_PARALLELISM),
    "table.local-time-zone": "UTC",
    "table.exec.uid.generation": "ALWAYS",
    # Sinks upsert by keys that the queries' ids imply, which the planner cannot see (and 2.3.0 would add a stateful materializer).
    "table.exec.sink.require-on-conflict": "false",
    "table.exec.sink.upsert-materialize": "NONE",
    # Two inserts into one table keep a writer each: in a shared one the findings of single events wait at every checkpoint for those of panes.
    "table.optimizer.reuse-sink-enabled": "false",
    # Totals of late events and refusals by minute: longer than the oldest event that is accepted (7 days).
    "table.exec.state.ttl": "8 d",
}


def create_environment(
    job_name: str, options: Mapping[str, str] | None = None
) -> tuple[StreamExecutionEnvironment, StreamTableEnvironment]:
    """The stream environment of a job, and the table environment on top of it. `options` of Flink go before those of flink-conf/."""
    configuration = Configuration()
    configuration.set_string("pipeline.name", job_name)
    for key, value in (_FIXED | dict(options or {})).items():
        configuration.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    return environment, StreamTableEnvironment.create(environment)


@contextmanager
def planned_with(t_env: StreamTableEnvironment, key: str, value: str, usual: str) -> Iterator[None]:
    """The planner's option for what is translated within (`border` does it), not for other queries. `usual`: what the option has when nobody set it."""
    config = t_env.get_config()
    before = config.get(key, usual)
    config.set(key, value)
    try:
        yield
    finally:
        config.set(key, before)


def border(t_env: StreamTableEnvironment, table: Table) -> DataStream:
    """Turn a table into a stream once, so that several consumers share one physical operator instead of planning it again each.

    Rows keep the planner's own form, so neither side of the border converts them. Python operators cannot read that form: see `rows_for_python`.
    """
    jvm = get_gateway().jvm
    row_data = get_java_class(jvm.org.apache.flink.table.data.RowData)
    data_type = table._j_table.getResolvedSchema().toSourceRowDataType().notNull().bridgedTo(row_data)
    return DataStream(t_env._j_tenv.toDataStream(table._j_table, data_type))


def in_one_subtask(stream: DataStream, name: str) -> None:
    """Runs what stands between the stream's last exchange and its end in one subtask, however many slots the job has; `name` is shown for it.

    Raises ValueError when there is no exchange before it.
    """
    transformation = stream._j_data_stream.getTransformation()
    transformation.setName(name)
    while transformation.getClass().getSimpleName() != "PartitionTransformation":
        transformation.setParallelism(1)
        (transformation,) = transformation.getInputs()


def rows_for_python(t_env: StreamTableEnvironment, table: Table) -> DataStream:
    """A table as a stream of rows that Python operators read."""
    return t_env.to_data_stream(table)


def view_of(
    t_env: StreamTableEnvironment, name: str, stream: DataStream, time_column: str | None = None, time_expression: str | None = None
) -> None:
    """Register a stream as a view. With a time column its event time goes on under that name, watermarks as they come from upstream; without one
    Flink lets no watermark pass, and no event-time timer behind the view ever fires."""
    if time_column is None:
        t_env.create_temporary_view(name, t_env.from_data_stream(stream))
        return
    schema = Schema.new_builder().column_by_expression(time_column, time_expression or "SOURCE_WATERMARK()")
    schema = schema.watermark(time_column, "SOURCE_WATERMARK()")
    t_env.create_temporary_view(name, t_env.from_data_stream(stream, schema.build()))


def keyed_rows(t_env: StreamTableEnvironment, query: str, row_type: RowTypeInfo) -> KeyedStream:
    """The rows of a query for a keyed Python operator, keyed by the first column; `row_type` are the types of its columns.

    `DataStream.key_by` sends every row to Python and back only to learn its key. Here SQL puts the key in front, as PyFlink's keyed operators expect
    it: ROW<key, the row>.
    """
    columns = [f"`{name}`" for name in t_env.sql_query(query).get_schema().get_field_names()]
    stream = t_env.to_data_stream(t_env.sql_query(f"SELECT {columns[0]} AS `key`, ROW({', '.join(columns)}) AS `row` FROM ({query})"))
    key_type = row_type.get_field_types()[0]
    # The same rows as before, under the type that PyFlink's operators know.
    stream._j_data_stream.getTransformation().setOutputType(Types.ROW([key_type, row_type]).get_java_type_info())
    keyed = stream._j_data_stream.keyBy(get_gateway().jvm.KeyByKeySelector(), Types.ROW([key_type]).get_java_type_info())
    return KeyedStream(keyed, row_type, stream)


def side_output(stream: DataStream, tag: OutputTag) -> DataStream:
    """The rows that an operator gave to `tag`, for the sinks and SQL. PyFlink's own method sends each of them through Python once more.

    An operator must not give rows to tags when no sink takes any of them: the graph leaves such outputs out, and PyFlink then fails at the first row.
    """
    return DataStream(stream._j_data_stream.getSideOutput(tag.get_java_output_tag()))
