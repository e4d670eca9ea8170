"""What a healthy but empty stack needs before jobs run: topics, tables, index templates, a configuration. Idempotent; run by every `up`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from services.stack.errors import StackError
from services.stack.state import Endpoints
from services.stack.topics import ensure_topics

Say = Callable[[str], None]
T = TypeVar("T")


def bootstrap(endpoints: Endpoints, say: Say) -> None:
    """Creates topics, migrates Postgres, installs OpenSearch templates, publishes the built-in configuration where there is none.

    Raises StackError naming the step that failed.
    """
    # Imported here: `sentinel down` and `status` need none of these libraries.
    from sentinel.config.load import default_config
    from services.config_service import store
    from services.storage import migrate, search_templates

    created = ensure_topics(endpoints.kafka_bootstrap)
    say(f"{len(created)} topics created" if created else "topics are there")
    _step("Postgres could not be migrated", lambda: migrate.upgrade(endpoints.postgres_dsn))
    say("tables are current")
    _step("OpenSearch refused the index templates", lambda: search_templates.install(endpoints.opensearch_url))
    say("templates are current")
    current = _step("the configuration could not be read", lambda: store.current(endpoints))
    if current is None:
        comment = "built-in configuration"
        current = _step("the configuration could not be published", lambda: store.publish(endpoints, default_config(), comment=comment))
    say(f"configuration version {current.version} is in force")


def _step(failure: str, do: Callable[[], T]) -> T:
    try:
        return do()
    except Exception as error:
        raise StackError(f"{failure}: {(str(error).strip().splitlines() or [repr(error)])[0]}") from error
