"""Postgres out: upserts by the id that each record carries, so that a replay rewrites the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from pyflink.table import StreamTableEnvironment

from sentinel.settings import JobSettings


def upserts(t_env: StreamTableEnvironment, settings: JobSettings, table: str, columns: str, key: Sequence[str], target: str) -> None:
    """Table of the given SQL columns into the Postgres table `sentinel.<target>`.

    Texts travel with `stringtype=unspecified`: Postgres turns them into the column's type (timestamptz, jsonb).
    """
    t_env.execute_sql(f"""
        CREATE TEMPORARY TABLE {table} ({columns}, PRIMARY KEY ({", ".join(f"`{name}`" for name in key)}) NOT ENFORCED) WITH (
          'connector' = 'jdbc',
          'url' = '{_url(settings, target)}',
          'table-name' = 'sentinel.{target}',
          'username' = '{settings.jdbc_user}',
          'password' = '{settings.database_password()}',
          'sink.buffer-flush.max-rows' = '500',
          'sink.buffer-flush.interval' = '200 ms',
          'sink.max-retries' = '10')
    """)


def _url(settings: JobSettings, target: str) -> str:
    # What the given address already sets stands: the driver refuses a parameter given twice.
    joint = "&" if "?" in settings.jdbc_url else "?"
    # A batch is one statement with many rows: Flink leaves only the last row of a key in it.
    wanted = {"stringtype": "unspecified", "ApplicationName": f"sentinel-{target}", "reWriteBatchedInserts": "true"}
    return settings.jdbc_url + joint + "&".join(f"{name}={value}" for name, value in wanted.items() if f"{name}=" not in settings.jdbc_url)
