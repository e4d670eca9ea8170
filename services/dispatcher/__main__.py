"""`python -m services.dispatcher [--bootstrap HOST:PORT] [--dsn DSN]`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.dispatcher.service import run


def main() -> int:
    """Runs until SIGTERM; exit code 1 with one sentence when it does not know where Kafka or Postgres is."""
    parser = argparse.ArgumentParser(prog="python -m services.dispatcher", description="Send notifications to their receivers.")
    parser.add_argument("--bootstrap", help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the embedded stack")
    parser.add_argument("--dsn", help="Postgres; default: SENTINEL_POSTGRES_DSN, else the embedded stack")
    given = parser.parse_args()
    try:
        bootstrap, dsn = kafka_bootstrap(given.bootstrap), postgres_dsn(given.dsn)
    except NoAddressError as error:
        print(error, file=sys.stderr)
        return 1
    asyncio.run(run(bootstrap, dsn))
    return 0


if __name__ == "__main__":
    sys.exit(main())
