"""What a healthy but empty stack needs before jobs run: topics, tables, index templates. Idempotent; run by every `up`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from services.stack.errors import StackError
from services.stack.modules import importable
from services.stack.state import Endpoints
from services.stack.topics import ensure_topics

Say = Callable[[str], None]


def bootstrap(endpoints: Endpoints, say: Say) -> None:
    """Creates topics, migrates Postgres, installs OpenSearch templates. Raises StackError naming the step that failed."""
    created = ensure_topics(endpoints.kafka_bootstrap)
    say(f"{len(created)} topics created" if created else "topics are there")
    _step("services.storage.migrate", "upgrade", endpoints.postgres_dsn, "Postgres could not be migrated", "tables are current", say)
    _step(
        "services.storage.search_templates",
        "install",
        endpoints.opensearch_url,
        "OpenSearch refused the index templates",
        "templates are current",
        say,
    )


def _step(module: str, function: str, argument: str, failure: str, success: str, say: Say) -> None:
    if not importable(module):
        return
    try:
        getattr(import_module(module), function)(argument)
    except Exception as error:
        raise StackError(f"{failure}: {(str(error).strip().splitlines() or [repr(error)])[0]}") from error
    say(success)
