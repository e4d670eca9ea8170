"""`sentinel dispatcher`: run it, see what it delivered, and send dead letters again."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from sentinel.timestamps import to_rfc3339
from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.cli.output import print_rows
from services.cli.safe_text import safe_text
from services.dlq.errors import DlqError

app = typer.Typer(no_args_is_help=True, help="The notification dispatcher: it tells the receivers, once each.")

Bootstrap = Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")]
Dsn = Annotated[str | None, typer.Option(help="Postgres; default: SENTINEL_POSTGRES_DSN, else the running stack.")]
Output = Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="table or json.")]
Receiver = Annotated[str | None, typer.Option(help="Only those for this receiver.")]

COUNTS = ("notifications", "delivered", "waiting", "dead", "attempts")
STATUS = """
SELECT receiver, count(*) AS notifications, count(*) FILTER (WHERE state = 'delivered') AS delivered,
       count(*) FILTER (WHERE state IN ('waiting', 'sending', 'failed')) AS waiting,
       count(*) FILTER (WHERE state = 'dead') AS dead, coalesce(sum(attempts), 0)::bigint AS attempts,
       to_char(max(delivered_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_delivered,
       (array_agg(last_error ORDER BY first_attempt_at DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error
FROM (
    SELECT coalesce(n.receiver, l.receiver) AS receiver, coalesce(l.state, 'waiting') AS state, l.attempts, l.delivered_at,
           l.first_attempt_at, l.last_error
    FROM sentinel.notifications n FULL JOIN sentinel.notification_ledger l USING (notification_id)
) fates GROUP BY receiver ORDER BY receiver
"""


@contextmanager
def _one_sentence() -> Iterator[None]:
    from services.dispatcher.errors import SendError

    try:
        yield
    except (DlqError, NoAddressError, SendError, OSError) as error:
        print(safe_text(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None


@app.command("run")
def run_dispatcher(bootstrap: Bootstrap = None, dsn: Dsn = None) -> None:
    """Run in the foreground until SIGTERM or Ctrl-C; one JSON object a line on standard error."""
    from services.dispatcher.service import run

    with _one_sentence():
        servers, database = kafka_bootstrap(bootstrap), postgres_dsn(dsn)
    asyncio.run(run(servers, database))


@app.command("callbacks")
def callbacks(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 asks for a free one.")] = 9096,
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """Take PagerDuty's v3 webhooks in the foreground: an acknowledgement there acknowledges the alert here."""
    from services.callbacks.service import run

    with _one_sentence():
        asyncio.run(run(kafka_bootstrap(bootstrap), postgres_dsn(dsn), host, port))


@app.command("status")
def status(output: Output = "table", dsn: Dsn = None) -> None:
    """Show for each receiver how many notifications were delivered, wait, or were given up."""
    import psycopg
    from psycopg.rows import dict_row

    with _one_sentence():
        database = postgres_dsn(dsn)
    try:
        with psycopg.connect(database, connect_timeout=10, row_factory=dict_row) as connection:
            rows = connection.execute(STATUS).fetchall()
    except psycopg.Error as error:
        print(f"the ledger cannot be read: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        raise typer.Exit(1) from None
    print_rows(
        rows, ["receiver", "notifications", "delivered", "waiting", "dead", "attempts", "last_delivered", "last_error"], output, COUNTS
    )


@app.command("dead-letters")
def dead_letters(receiver: Receiver = None, output: Output = "table", bootstrap: Bootstrap = None) -> None:
    """List notifications that were given up, with the reason. Those replayed since are listed too: the topic keeps them."""
    with _one_sentence():
        letters = _letters(kafka_bootstrap(bootstrap), receiver)
    rows = [{name: value for name, value in letter.items() if name != "original_base64"} for letter in letters]
    print_rows(rows, ["notification_id", "failed_at", "receiver", "title", "attempts", "reason"], output, COUNTS)


@app.command("replay")
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[NOTIFICATION_ID]…", help="Which ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them; those delivered meanwhile are skipped by the ledger.")] = False,
    receiver: Receiver = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Hand dead letters to the dispatcher again, after the receiver is mended."""
    if [every, bool(ids), receiver is not None].count(True) != 1:
        print("expected --all, or --receiver NAME, or one or more notification ids", file=sys.stderr)
        raise typer.Exit(2)
    from services.dispatcher.dead_letters import send_back

    with _one_sentence():
        servers = kafka_bootstrap(bootstrap)
        newest = {letter["notification_id"]: letter for letter in _letters(servers, receiver)}
        missing = [wanted for wanted in ids or [] if wanted not in newest]
        if missing:
            raise DlqError(f"no dead letter of notification {missing[0]!r} (`sentinel dispatcher dead-letters` lists them)")
        chosen = [letter for key, letter in newest.items() if every or receiver or key in (ids or [])]
        send_back(servers, [(letter["topic"], letter["partition"], base64.b64decode(letter["original_base64"])) for letter in chosen])
    print(f"{len(chosen):,} handed to the dispatcher again")


@app.command("test")
def test_receiver(
    receiver: Annotated[str, typer.Argument(help="Name, as in the configuration.")],
    config: Annotated[Path | None, typer.Option(help="A configuration file instead of the configuration in force.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Resolve what the test before raised.")] = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send a test notification to one receiver now."""
    from services.dispatcher.config_watch import config_in_force

    with _one_sentence():
        version, snapshot = _of_file(config) if config else config_in_force(kafka_bootstrap(bootstrap))
        note = asyncio.run(_send_test(version, snapshot, receiver, "resolved" if resolved else "firing"))
    print(f"{receiver} accepted the test notification" + (f" ({safe_text(note)})" if note else ""))


def _of_file(path: Path) -> tuple[int, dict[str, Any]]:
    from sentinel.config.errors import ConfigError
    from sentinel.config.load import load_config

    try:
        return 0, load_config(path).config.to_snapshot()
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


async def _send_test(version: int, config: dict[str, Any], receiver: str, status: str) -> str | None:
    from services.dispatcher.http_post import client
    from services.dispatcher.notification import AlertItem, Notification
    from services.dispatcher.sender import Sender
    from services.dispatcher.service import quiet_libraries

    quiet_libraries()
    now = to_rfc3339(time.time_ns() // 1_000_000)
    labels = {"alertname": "SentinelTest", "severity": "info"}
    text = "This is a test notification of LLM-Sentinel; nothing is wrong."
    alert = AlertItem(status=status, labels=labels, annotations={"summary": text}, starts_at=now, fingerprint="test")
    notification = Notification(
        notification_id=str(uuid.uuid4()),
        receiver=receiver,
        status=status,
        alert_id=f"test-of-{receiver}",
        severity="info",
        title="Test of LLM-Sentinel",
        text=text,
        group_key="test",
        group_labels={"alertname": "SentinelTest"},
        common_labels=labels,
        common_annotations={"summary": text},
        alerts=[alert],
        created_at=now,
        config_version=version,
    )
    async with client() as http, _incidents(config, receiver) as incidents:
        return await Sender(lambda: (version, config), http, incidents)(notification)


@asynccontextmanager
async def _incidents(config: dict[str, Any], receiver: str) -> AsyncIterator[Any]:
    """The book of incidents, for a receiver that needs it."""
    from services.dispatcher.database import Database
    from services.dispatcher.incident_book import IncidentBook

    if not any(entry["name"] == receiver and entry["type"] == "incident" for entry in config.get("alerting", {}).get("receivers", [])):
        yield None
        return
    database = Database(postgres_dsn(None), lambda reason: print(f"Postgres is away: {reason}", file=sys.stderr))
    await database.open()
    try:
        yield IncidentBook(database)
    finally:
        await database.close()


def _letters(bootstrap: str, receiver: str | None) -> list[dict[str, Any]]:
    from services.dispatcher.dead_letters import TOPIC
    from services.dlq.scan import scan

    letters = [orjson.loads(stored.value) for stored in scan(bootstrap, TOPIC)]
    return [letter for letter in letters if receiver in (None, letter["receiver"])]
