"""`sentinel shield`: enforce and revoke by hand, see what is in force, and run the reference Shield."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import orjson
import typer

from sentinel.timestamps import to_rfc3339
from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.cli.output import print_rows
from services.cli.safe_text import safe_text
from services.dlq.errors import DlqError

app = typer.Typer(no_args_is_help=True, help="LLM-Shield: enforcement actions and the reference server.")

Bootstrap = Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")]
Dsn = Annotated[str | None, typer.Option(help="Postgres; default: SENTINEL_POSTGRES_DSN, else the running stack.")]
Endpoint = Annotated[str | None, typer.Option(help="host:port of Shield; default: integrations.shield of the configuration in force.")]
Kind = Literal["block", "rate_limit", "throttle", "quarantine", "alert_only"]
COLUMNS = ["action_id", "tenant_id", "kind", "target_entity", "state", "enforced_at", "expires_at", "revoked_at", "reason", "message"]
ACTIONS = f"""
SELECT {", ".join(COLUMNS)} FROM analytics.shield_actions
WHERE (%(everything)s OR state = 'enforced') AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s) ORDER BY enforced_at DESC LIMIT 1000
"""  # noqa: S608  our own column names


@contextmanager
def _one_sentence() -> Iterator[None]:
    import psycopg

    from services.shield.client import ShieldError

    try:
        yield
    except (DlqError, NoAddressError, ShieldError, OSError, ValueError) as error:
        print(safe_text(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None
    except psycopg.Error as error:
        print(f"the book of actions cannot be read or written: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 asks for a free one.")] = 9090,
) -> None:
    """Run the reference Shield until Ctrl-C: it keeps actions in memory and writes one JSON object for each thing that it does."""

    async def run() -> None:
        from services.shield.server import ReferenceShield, start

        def tell(event: dict[str, Any]) -> None:
            sys.stdout.buffer.write(
                orjson.dumps({"time": to_rfc3339(time.time_ns() // 1_000_000), **event}, option=orjson.OPT_APPEND_NEWLINE)
            )
            sys.stdout.buffer.flush()

        server, bound = await start(ReferenceShield(tell), host, port)
        tell({"event": "listening", "endpoint": f"grpc://{host}:{bound}"})
        try:
            await server.wait_for_termination()
        finally:
            await server.stop(1)

    with _one_sentence():
        asyncio.run(run())


@app.command("actions")
def actions(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant only.")] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="table or json.")] = "table",
    dsn: Dsn = None,
) -> None:
    """List the actions in force, newest first."""
    import psycopg
    from psycopg.rows import dict_row

    with _one_sentence(), psycopg.connect(postgres_dsn(dsn), connect_timeout=10, row_factory=dict_row) as connection:
        rows = connection.execute(ACTIONS, {"everything": everything, "tenant": tenant}).fetchall()
    print_rows(rows, COLUMNS, output)


@app.command("enforce")
def enforce(
    targets: Annotated[list[str], typer.Argument(metavar="KIND:ID…", help="Whom or what, such as user:u-17.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the targets.")],
    action: Annotated[Kind, typer.Option(help="What to enforce.")],
    reason: Annotated[str, typer.Option(help="Why; Shield and the book keep it.")],
    duration: Annotated[str, typer.Option(help="How long, such as 30m or 1h.")] = "1h",
    endpoint: Endpoint = None,
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """Enforce an action by hand, on one target or on several at once."""
    from sentinel.config.units import parse_duration
    from services.dispatcher.shield_orders import Order, Request

    with _one_sentence():
        wrong = next((target for target in targets if ":" not in target.strip(":")), None)
        if wrong is not None:
            raise ValueError(f"expected a target such as user:u-17, found {wrong!r}")
        now, seconds = to_rfc3339(time.time_ns() // 1_000_000), parse_duration(duration)
        requests = [
            Request(
                action=f"shield_{action}",
                target=f"{tenant}/{target}",
                timestamp=now,
                action_id=str(uuid.uuid4()),
                duration_s=seconds,
                reason=reason,
            )
            for target in targets
        ]
        order = Order(notification_id=str(uuid.uuid4()), tenant_id=tenant, title=reason, requests=requests, context={"tenant_id": tenant})
        answers = asyncio.run(_enforce(order, endpoint or _endpoint(bootstrap), postgres_dsn(dsn)))
    for request, answer in zip(requests, answers, strict=True):
        print(f"{answer.action_id} {request.target}: {answer.message or ('enforced' if answer.success else 'refused')}")
    if not all(answer.success for answer in answers):
        raise typer.Exit(1)


@app.command("revoke")
def revoke(
    action_ids: Annotated[list[str], typer.Argument(metavar="ACTION_ID…", help="Which ones.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "revoked by hand",
    endpoint: Endpoint = None,
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """End actions before their time."""
    with _one_sentence():
        messages = asyncio.run(_revoke(action_ids, reason, endpoint or _endpoint(bootstrap), postgres_dsn(dsn)))
    for action_id, message in zip(action_ids, messages, strict=True):
        print(f"{action_id}: {message}")


async def _enforce(order: Any, endpoint: str, dsn: str) -> list[Any]:
    from services.dispatcher.database import Database
    from services.dispatcher.shield_book import ShieldBook
    from services.shield.client import ShieldClient

    database = Database(dsn, lambda reason: print(f"Postgres is away: {reason}", file=sys.stderr))
    await database.open()
    try:
        async with ShieldClient() as client:
            answers = await client.enforce(
                endpoint, [request.to_action(time.time_ns() // 1_000_000, order.context) for request in order.requests]
            )
        for request, answer in zip(order.requests, answers, strict=True):
            await ShieldBook(database).enforced(order, request, endpoint, answer)
    finally:
        await database.close()
    return answers


async def _revoke(action_ids: list[str], reason: str, endpoint: str, dsn: str) -> list[str]:
    from services.dispatcher.database import Database
    from services.dispatcher.shield_book import ShieldBook
    from services.shield.client import ShieldClient

    database = Database(dsn, lambda why: print(f"Postgres is away: {why}", file=sys.stderr))
    await database.open()
    messages = []
    try:
        async with ShieldClient() as client:
            for action_id in action_ids:
                messages.append(await client.revoke(endpoint, action_id, reason))
                await ShieldBook(database).revoked(action_id, f"{messages[-1]} ({reason})")
    finally:
        await database.close()
    return messages


def _endpoint(bootstrap: str | None) -> str:
    from services.dispatcher.config_watch import config_in_force

    _, config = config_in_force(kafka_bootstrap(bootstrap))
    endpoint = ((config.get("integrations") or {}).get("shield") or {}).get("endpoint")
    if not endpoint:
        raise DlqError("the configuration in force has no integrations.shield.endpoint; give one with --endpoint")
    return str(endpoint)
