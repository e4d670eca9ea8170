"""`sentinel dlq`: look at refused events and send them again."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import orjson
import typer

from services.cli.connection import NoAddressError, kafka_bootstrap
from services.cli.output import print_table
from services.cli.safe_text import safe_text
from services.dlq.errors import DlqError
from services.dlq.records import TOPIC, DlqRecord, parse, parse_place
from services.dlq.replay import message, replay
from services.dlq.scan import fetch, scan

app = typer.Typer(no_args_is_help=True, help="Dead letters: events that were refused, with the reason and the original bytes.")

Bootstrap = Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")]
Tenant = Annotated[str | None, typer.Option(help="Only those of this tenant.")]

SHOWN_CHARACTERS = 20_000


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except (DlqError, NoAddressError) as error:
        print(safe_text(str(error)), file=sys.stderr)
        raise typer.Exit(1) from None


@app.command("list")
def list_records(
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="table or json.")] = "table",
    bootstrap: Bootstrap = None,
) -> None:
    """List dead letters, the newest last."""
    with _one_sentence():
        newest: deque[dict[str, Any]] = deque(maxlen=limit)
        total = 0
        for place, record in _records(kafka_bootstrap(bootstrap), tenant):
            total += 1
            newest.append({"id": place, **record.summary()})
    rows = sorted(newest, key=lambda row: str(row["failed_at"]))
    if output == "json":
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
        return
    columns = ["id", "failed_at", "tenant_id", "path", "expected", "found", "original_bytes"]
    cut = [[safe_text(value[:60]) if isinstance(value := row[column], str) else value for column in columns] for row in rows]
    print_table(columns, cut, ["original_bytes"])
    if total > len(rows):
        print(f"the newest {len(rows):,} of {total:,}; --limit shows more", file=sys.stderr)


@app.command("show")
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `sentinel dlq list` shows it.")],
    raw: Annotated[bool, typer.Option(help="Write only the original bytes, as they came, to standard output.")] = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show one dead letter: where it lay, what was expected, what was found, and its text."""
    with _one_sentence():
        record = parse(fetch(kafka_bootstrap(bootstrap), TOPIC, *parse_place(place)))
        original = record.original()
    if raw:
        sys.stdout.buffer.write(original)
        return
    for name, value in record.summary().items():
        print(f"{name + ':':18}{safe_text('' if value is None else str(value))}")
    text = safe_text(original.decode(errors="backslashreplace"), keep_lines=True)
    print(f"\n{text[:SHOWN_CHARACTERS]}")
    if len(text) > SHOWN_CHARACTERS:
        print(f"… {len(text) - SHOWN_CHARACTERS:,} characters more: --raw writes them", file=sys.stderr)


@app.command("replay")
def replay_records(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]…", help="Which ones.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    tenant: Tenant = None,
    now: Annotated[bool, typer.Option(help="Send with the present time in place of the original record time.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be sent, and send nothing.")] = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send dead letters to their source topic again, byte for byte, after the cause is mended."""
    if every == bool(places):
        print("expected either --all or one or more PARTITION:OFFSET", file=sys.stderr)
        raise typer.Exit(2)
    with _one_sentence():
        servers = kafka_bootstrap(bootstrap)
        chosen = _records(servers, tenant) if every else _at(servers, places or [], tenant)
        if dry_run:
            count = 0
            for place, record in chosen:
                message(record, now=now)
                print(safe_text(f"{place} → {record.topic} partition {record.partition}, {record.original_bytes:,} bytes"))
                count += 1
            print(f"{count:,} would be sent")
        else:
            print(f"{replay(servers, (record for _, record in chosen), now=now):,} sent again")


def _records(bootstrap: str, tenant: str | None) -> Iterator[tuple[str, DlqRecord]]:
    for stored in scan(bootstrap, TOPIC):
        try:
            record = parse(stored)
        except DlqError as error:
            # One foreign record must not hide the others.
            print(safe_text(str(error)), file=sys.stderr)
            continue
        if tenant is None or record.tenant_id == tenant:
            yield f"{stored.partition}:{stored.offset}", record


def _at(bootstrap: str, places: list[str], tenant: str | None) -> Iterator[tuple[str, DlqRecord]]:
    for place in places:
        record = parse(fetch(bootstrap, TOPIC, *parse_place(place)))
        if tenant is not None and record.tenant_id != tenant:
            raise DlqError(f"dead letter {place} is of tenant {record.tenant_id!r}, not {tenant!r}")
        yield place, record
