"""Where Kafka, Postgres and OpenSearch are: an option, else an environment variable, else the embedded stack."""

from __future__ import annotations

import os

from sentinel.kafka_access import KafkaAccess, KafkaAccessError


class NoAddressError(RuntimeError):
    """No address is known, or no usable login for it; the text says how to give one."""


def kafka_bootstrap(given: str | None = None) -> str:
    """Kafka's bootstrap servers. Raises NoAddressError, also when the login of the environment is not usable."""
    bootstrap = given or os.environ.get("SENTINEL_KAFKA_BOOTSTRAP") or _of_stack("kafka_bootstrap", "SENTINEL_KAFKA_BOOTSTRAP")
    try:
        KafkaAccess.of(bootstrap)
    except KafkaAccessError as error:
        raise NoAddressError(f"login at Kafka: {error}") from None
    return bootstrap


def postgres_dsn(given: str | None = None) -> str:
    """The DSN of Postgres. Raises NoAddressError."""
    return given or os.environ.get("SENTINEL_POSTGRES_DSN") or _of_stack("postgres_dsn", "SENTINEL_POSTGRES_DSN")


def opensearch_url(given: str | None = None) -> str:
    """The URL of OpenSearch. Raises NoAddressError."""
    return given or os.environ.get("SENTINEL_OPENSEARCH_URL") or _of_stack("opensearch_url", "SENTINEL_OPENSEARCH_URL")


def _of_stack(name: str, variable: str) -> str:
    from services.stack.errors import StackError
    from services.stack.state import load_endpoints

    try:
        return str(getattr(load_endpoints(), name))
    except (StackError, OSError) as error:
        raise NoAddressError(f"{error}; or set {variable}") from None
