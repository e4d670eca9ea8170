"""Alembic environment: runs the versions on the connection that `services.storage.migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

connection = context.config.attributes["connection"]
assert isinstance(connection, Connection), "run `python -m services.storage.migrate`: it opens the connection"
context.configure(connection=connection, version_table="schema_version", version_table_schema="sentinel", transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
