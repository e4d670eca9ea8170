"""The configuration as a broadcast stream."""

from __future__ import annotations

from pyflink.datastream import BroadcastStream
from pyflink.table import StreamTableEnvironment

from jobs.stages import sources
from operators.broadcast_configuration import CONFIGURATION
from sentinel.settings import JobSettings


def configuration(t_env: StreamTableEnvironment, settings: JobSettings, job: str) -> BroadcastStream:
    """Published configurations, for every subtask of the keyed operators."""
    sources.configuration(t_env, settings, job)
    return t_env.to_data_stream(t_env.sql_query("SELECT record, long_past FROM configuration")).broadcast(CONFIGURATION)
