"""Brings a Postgres database to the newest schema: `python -m services.storage.migrate [--dsn DSN]`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

import schemas
from services.cli.connection import NoAddressError, postgres_dsn

MIGRATIONS = Path(schemas.__file__ or "").parent / "migrations"
# Two starters (a second `up`, a test) may migrate at the same time: the second waits for the first.
LOCK_KEY = 5_365_637_401


class MigrationError(RuntimeError):
    """The database could not be brought to the newest schema; the text says where and why."""


def upgrade(dsn: str) -> str:
    """Runs every migration that the database lacks, all of them in one transaction.

    Returns the revision that the database now has. Raises MigrationError when the database cannot be reached, or
    holds a schema that this version does not know.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn, connect_timeout=10), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            return _upgrade(connection)
    except psycopg.Error as error:
        raise MigrationError(f"Postgres at {_place(dsn)}: {str(error).strip()}") from error
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, psycopg.Error | CommandError):
            raise MigrationError(f"Postgres at {_place(dsn)}: {str(cause).strip()}") from error
        raise
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> str:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS sentinel"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    context = MigrationContext.configure(connection, opts={"version_table": "schema_version", "version_table_schema": "sentinel"})
    return context.get_current_revision() or ""


def _place(dsn: str) -> str:
    """Host, port and database of a DSN, without its password."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        return "an unreadable DSN"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def main() -> int:
    """Command line: exit code 0 with the revision on standard output, 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m services.storage.migrate", description="Bring Postgres to the newest schema.")
    parser.add_argument("--dsn", help="default: SENTINEL_POSTGRES_DSN, else the embedded stack")
    try:
        dsn = postgres_dsn(parser.parse_args().dsn)
    except NoAddressError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        print(f"schema {upgrade(dsn)}")
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
