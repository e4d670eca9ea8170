"""`sentinel alerts` on the running system: list, explain, and requests that the alerting job answers."""

from __future__ import annotations

import getpass
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer

from sentinel.alerting.control import Action
from sentinel.alerting.importer.matchers import matcher_text, read_matchers
from sentinel.config.units import parse_duration
from services.alerts import requests, store
from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.cli.output import Output, print_json, print_table

Bootstrap = Annotated[str | None, typer.Option(help="Kafka bootstrap servers; default: those of the running stack.")]
Dsn = Annotated[str | None, typer.Option(help="Postgres DSN; default: that of the running stack.")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; kept with the request.")]
Alert = Annotated[str, typer.Argument(metavar="ID", help="Alert id, or its beginning.")]
For = Annotated[str, typer.Option("--for", help="How long, such as 30m or 8h.")]
Tenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="table or json.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_alerts)
    app.command()(explain)
    app.command()(silences)
    app.command()(silence)
    app.command()(expire)
    for name, text in _ON_ONE.items():
        app.command(name, help=text)(_request(name))
    app.command()(snooze)


def list_alerts(
    status: Annotated[str | None, typer.Option(help="firing, acknowledged, resolved, or active (all but resolved).")] = None,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    output: Form = Output.table,
    dsn: Dsn = None,
) -> None:
    """List alerts, newest first."""
    with _failures():
        rows = store.alerts(postgres_dsn(dsn), status=status, tenant=tenant, limit=limit)
    if output is Output.json:
        print_json([_plain(row) for row in rows])
        return
    cells = []
    for r in rows:
        who = [r["tenant_id"], r["application_id"], r["definition_id"]]
        cells.append(
            [r["alert_id"][:8], r["status"], r["severity"], *who, _time(r["starts_at"]), r["count"], ", ".join(r["receivers"] or [])]
        )
    print_table(["id", "status", "severity", "tenant", "application", "definition", "since", "count", "receivers"], cells, ["count"])


def explain(alert: Alert, output: Form = Output.table, dsn: Dsn = None) -> None:
    """Tell the story of an alert: who was told, who was not, and why."""
    with _failures():
        address = postgres_dsn(dsn)
        found = store.alert(address, alert)
        story, enforced = store.story(address, found["alert_id"]), store.enforced(address, found)
    if output is Output.json:
        print_json({"alert": _plain(found), "decisions": [_plain(row) for row in story], "shield": [_plain(row) for row in enforced]})
        return
    print(f"{found['alert_id']}  {found['status']}  {found['severity']}  {found['tenant_id']}  definition {found['definition_id']}")
    ended = f", over since {_time(found['ends_at'])}" if found["ends_at"] else ""
    print(f"since {_time(found['starts_at'])}, last seen {_time(found['last_seen'])}, {found['count']} occurrences{ended}")
    print("labels: " + ", ".join(f"{name}={value}" for name, value in sorted(found["labels"].items())))
    if not story:
        print("nothing was decided yet: nobody is to be told, or the group waits for its first message")
    for row in story:
        print(f"{_time(row['at'])}  {row['receiver'] or '-':<20}  {_sentence(row)}")
    for row in enforced:
        print(f"{_time(row['enforced_at'])}  {'shield':<20}  {_enforcement(row)}")


def silences(tenant: Tenant = None, output: Form = Output.table, dsn: Dsn = None) -> None:
    """List silences in force."""
    with _failures():
        rows = store.silences(postgres_dsn(dsn), tenant)
    if output is Output.json:
        print_json([_plain(row) for row in rows])
        return
    cells = [[r["silence_id"], r["tenant_id"], " ".join(r["matchers"]), _time(r["until"]), r["requested_by"], r["comment"]] for r in rows]
    print_table(["id", "tenant", "matchers", "until", "by", "comment"], cells)


def silence(
    matchers: Annotated[list[str], typer.Argument(metavar="MATCHER...", help='Such as severity="warning" application=~"chat.*".')],
    tenant: Annotated[str, typer.Option(help="Whose alerts.")],
    duration: For = "2h",
    comment: Comment = "",
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """Hold back notifications of alerts that match, for a time."""
    with _failures():
        texts = [matcher_text(*matcher) for text in matchers for matcher in read_matchers(text)]
        name = str(uuid.uuid4())
        _ask("silence", tenant, bootstrap, dsn, silence_id=name, matchers=texts, until_ms=_until(duration), comment=comment)


def expire(
    silence_id: Annotated[str, typer.Argument(help="Id of a silence.")],
    tenant: Annotated[str, typer.Option(help="Whose silence.")],
    comment: Comment = "",
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """End a silence."""
    with _failures():
        _ask("expire", tenant, bootstrap, dsn, silence_id=silence_id, comment=comment)


def snooze(alert: Alert, duration: For = "1h", comment: Comment = "", bootstrap: Bootstrap = None, dsn: Dsn = None) -> None:
    """Hold back one alert for a time; if it still fires then, it is told again."""
    with _failures():
        _about_one("snooze", alert, bootstrap, dsn, comment, until_ms=_until(duration))


_ON_ONE: dict[str, str] = {
    "ack": "Acknowledge an alert: no repeats, no escalation, until something new fires.",
    "unack": "Take an acknowledgement back.",
    "resolve": "Declare an alert over; a new anomaly raises it again.",
    "escalate": "Do the next step of the alert's escalation policy now.",
}


def _request(action: str) -> Any:
    def command(alert: Alert, comment: Comment = "", bootstrap: Bootstrap = None, dsn: Dsn = None) -> None:
        with _failures():
            _about_one(action, alert, bootstrap, dsn, comment)

    return command


def _about_one(action: Any, alert: str, bootstrap: str | None, dsn: str | None, comment: str, **fields: Any) -> None:
    found = store.alert(postgres_dsn(dsn), alert)
    about = {"alert_id": found["alert_id"], "group_key": found["group_key"], "comment": comment}
    _ask(action, found["tenant_id"], bootstrap, dsn, **about, **fields)


def _ask(action: Action, tenant: str, bootstrap: str | None, dsn: str | None, **fields: Any) -> None:
    started = time.monotonic()
    control = requests.new_control(action, tenant, by=_user(), **fields)
    answer = requests.ask(kafka_bootstrap(bootstrap), postgres_dsn(dsn), control)
    if not answer["done"]:
        raise store.AlertError(f"refused: {answer['detail']}")
    print(f"{answer['detail']} ({time.monotonic() - started:.2f} s)")


def _sentence(row: store.Row) -> str:
    about = ", ".join(f"{row[name]} {name}" for name in ("firing", "resolved") if row[name])
    text = f"{row['outcome']}: {row['detail']}" + (f" ({about})" if about else "")
    if row["waits_until"]:
        text += f", until {_time(row['waits_until'])}"
    if row["notification_id"]:
        text += f", message {row['notification_id'][:8]}"
    if row["outcome"] == "sent" and row["delivery"] is None:
        text += " waits for the dispatcher"
        text += f", which waits for the receiver until {_time(row['queue_waits_until'])}" if row["queue_waits_until"] else ""
    return text


def _enforcement(row: store.Row) -> str:
    end = f"revoked {_time(row['revoked_at'])}" if row["revoked_at"] else f"until {_time(row['expires_at'])}"
    return f"{row['state']}: {row['kind']} of {row['target_entity']}, {end}" + (f": {row['message']}" if row["message"] else "")


def _until(duration: str) -> int:
    seconds = parse_duration(duration)
    if seconds <= 0:
        raise ValueError("expected a duration longer than zero, such as 30m")
    return time.time_ns() // 1_000_000 + round(seconds * 1000)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _time(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def _plain(row: store.Row) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (ValueError, requests.RequestError, NoAddressError) as error:
        print(f"sentinel: {error}", file=sys.stderr)
        raise SystemExit(1) from None
