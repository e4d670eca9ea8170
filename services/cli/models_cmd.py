"""`sentinel models`: train on stored panes, look at what is there, let a version run in shadow, promote it, go back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sentinel.config.units import parse_duration
from sentinel.models.errors import ModelError
from sentinel.models.place import root_of
from sentinel.models.store import ModelStore
from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.cli.output import Output, print_json, print_table
from services.cli.safe_text import safe_text
from services.config_service import store as configuration
from services.models.compare import recorded, replayed
from services.models.minutes import StoredDataError, past, stored_minutes
from services.stack.paths import default_home

app = typer.Typer(no_args_is_help=True, help="Models on pane vectors: train, shadow, promote, roll back.")

Name = Annotated[str, typer.Argument(help="Name of the model.")]
Version = Annotated[int, typer.Argument(min=1, help="Version number.")]
Store = Annotated[str | None, typer.Option(help="Folder or URI of the model store; default: detection.mlModels.path of the configuration.")]
Dsn = Annotated[str | None, typer.Option(help="Postgres DSN; default: SENTINEL_POSTGRES_DSN, else the running stack.")]
Bootstrap = Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")]
Quiet = Annotated[bool, typer.Option("--no-announce", help="Tell no running job: they notice within detection.mlModels.reloadInterval.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="table or json.")]
Since = Annotated[str, typer.Option(help="How far back, such as 7d.")]


@dataclass(frozen=True)
class _Endpoints:
    kafka_bootstrap: str
    postgres_dsn: str


@app.command()
def train(
    kind: Annotated[str, typer.Argument(help="isolation_forest, kmeans, dbscan, autoencoder or lstm.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the kind.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Learn from this tenant, and serve no other.")] = None,
    application: Annotated[str | None, typer.Option(help="Learn from this application alone.")] = None,
    level: Annotated[str, typer.Option(help="model: a key for each model of an application; application: one for all of them.")] = "model",
    since: Since = "7d",
    feature: Annotated[list[str] | None, typer.Option(help="A metric of the vectors; may be given several times. Default: all.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=NUMBER, a setting of the kind; may be given several times.")
    ] = None,
    min_calls: Annotated[int, typer.Option(min=1, help="Minutes with fewer calls are left out.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model.")] = 1,
    with_trouble: Annotated[bool, typer.Option("--with-trouble", help="Also learn from minutes in which an anomaly was reported.")] = False,
    store: Store = None,
    dsn: Dsn = None,
) -> None:
    """Train a new version on stored panes. It is in force nowhere until `promote` or `shadow`."""
    from services.models.training import train as fit

    with _one_sentence():
        if level not in ("model", "application"):
            raise ModelError(f"expected a level of model, application; found {level!r}")
        address, target, named = postgres_dsn(dsn), _store(store, dsn), name or kind
        begin, end = past(_seconds(since))
        minutes = stored_minutes(
            address, since=begin, until=end, tenant=tenant, application=application, level=level, skip_trouble=not with_trouble
        )
        version = target.next_version(named)
        earlier = target.index(named).cards if version > 1 else {}
        if earlier and (held := target.card(named, max(earlier))).kind != kind:
            raise ModelError(f"model {named!r} is of kind {held.kind}: give a model of kind {kind} another --name")
        card, packed = fit(
            minutes, name=named, version=version, kind=kind, tenant=tenant or "", level=level, features=feature, min_calls=min_calls,
            seed=seed, settings=_settings(setting or []),
        )  # fmt: skip
        target.add(card, packed)
    for note in card.trained["notes"]:
        print(f"note: {note}", file=sys.stderr)
    trained = card.trained
    print(
        f"model {named} version {version} ({kind}): {trained['minutes']} minutes of {trained['keys']} keys, {trained['from']} to {trained['to']}, "
        f"{trained['left_out_in_trouble']} minutes in trouble left out; {len(packed)} bytes"
    )


@app.command("list")
def list_models(output: Form = Output.table, store: Store = None, dsn: Dsn = None) -> None:
    """List every version and what it does: promoted, shadow, or nothing."""
    rows: list[dict[str, Any]] = []
    with _one_sentence():
        target = _store(store, dsn)
        for name in target.names():
            index = target.index(name)
            for version in sorted(index.cards):
                state = "promoted" if version == index.promoted else "shadow" if version == index.shadow else ""
                try:
                    card = target.card(name, version)
                    about = {
                        "kind": card.kind,
                        "tenant": card.tenant,
                        "created_at": card.created_at,
                        "keys": card.trained.get("keys"),
                        "error": "",
                    }
                except ModelError as error:
                    about = {"kind": "", "tenant": "", "created_at": "", "keys": None, "error": str(error)}
                rows.append({"name": name, "version": version, "state": state, **about})
    if output is Output.json:
        print_json(rows)
        return
    columns = ["name", "version", "state", "kind", "tenant", "created_at", "keys", "error"]
    print_table(columns, [[safe_text(str(row[c])) if row[c] is not None else "" for c in columns] for row in rows], ["version", "keys"])


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Argument(help="Default: the promoted one, else the newest.")] = None,
    store: Store = None,
    dsn: Dsn = None,
) -> None:
    """Show a version's card, after its files were checked."""
    with _one_sentence():
        target = _store(store, dsn)
        index = target.index(name)
        chosen = version or index.promoted or max(index.cards, default=0)
        card = target.load(name, chosen).card
    state = "promoted" if chosen == index.promoted else "shadow" if chosen == index.shadow else "not in force"
    print_json({"state": state, **msgspec.to_builtins(card)})


@app.command()
def promote(
    name: Name, version: Version, no_announce: Quiet = False, store: Store = None, dsn: Dsn = None, bootstrap: Bootstrap = None
) -> None:
    """Put a version in force, in running jobs too. Its files are checked first."""
    with _one_sentence():
        before = _store(store, dsn).promote(name, version)
        print(f"model {name}: version {version} is in force" + (f", version {before} was before" if before and before != version else ""))
        _announce(no_announce, dsn, bootstrap)


@app.command()
def rollback(name: Name, no_announce: Quiet = False, store: Store = None, dsn: Dsn = None, bootstrap: Bootstrap = None) -> None:
    """Put the version in force that was so before."""
    with _one_sentence():
        now, before = _store(store, dsn).rollback(name)
        print(f"model {name}: version {now} is in force again, version {before} no longer")
        _announce(no_announce, dsn, bootstrap)


@app.command()
def shadow(
    name: Name,
    version: Annotated[int, typer.Argument(min=0, help="Version number; 0 ends the shadow.")],
    no_announce: Quiet = False,
    store: Store = None,
    dsn: Dsn = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Let a version score beside the one in force: what it finds is recorded, and raises nothing."""
    with _one_sentence():
        _store(store, dsn).set_shadow(name, version)
        print(f"model {name}: " + (f"version {version} runs in shadow" if version else "no version runs in shadow"))
        _announce(no_announce, dsn, bootstrap)


@app.command()
def compare(
    name: Name,
    version: Annotated[int | None, typer.Option(min=1, help="Default: the version in shadow.")] = None,
    since: Since = "1d",
    replay: Annotated[
        bool, typer.Option("--replay", help="Score stored minutes with both versions, instead of reading what jobs recorded.")
    ] = False,
    threshold: Annotated[float, typer.Option(min=0.1, help="With --replay: sigma.")] = 4.0,
    output: Form = Output.table,
    store: Store = None,
    dsn: Dsn = None,
) -> None:
    """Show what a shadow would have raised, beside what the version in force did."""
    with _one_sentence():
        target, address = _store(store, dsn), postgres_dsn(dsn)
        index = target.index(name)
        chosen = version or index.shadow
        if not chosen:
            raise ModelError(
                f"model {name!r} has no version in shadow; start one with `sentinel models shadow {name} VERSION`, or name it with --version"
            )
        begin, end = past(_seconds(since))
        if replay:
            other = target.load(name, chosen)
            minutes = stored_minutes(
                address, since=begin, until=end, tenant=other.card.tenant or None, level=other.card.level, skip_trouble=False
            )
            held = target.load(name, index.promoted) if index.promoted else None
            found = replayed(minutes, held, other, threshold, int(other.card.settings.get("min_calls", 5)))
        else:
            found = recorded(address, f"{name}/{index.promoted}", f"{name}/{chosen}", begin, end)
    rows = found.rows()
    if output is Output.json:
        keys = ("tenant_id", "application_id", "model", "in_force", "shadow", "both", "example")
        print_json({"in_force": index.promoted, "shadow": chosen, "keys": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    columns = ["tenant", "application", "model", "in force", "shadow", "of them both", "what only the shadow found"]
    print_table(columns, [[*row[:6], safe_text(row[6])] for row in rows], columns[3:6])
    raised, would = sum(row[3] for row in rows), sum(row[4] for row in rows)
    print(f"version {index.promoted or 'none'} in force raised {raised}, version {chosen} in shadow would have raised {would}")


def _announce(quiet: bool, dsn: str | None, bootstrap: str | None) -> None:
    """Write the configuration in force to its topic again: jobs that read it look at their models."""
    if quiet:
        return
    try:
        endpoints = _Endpoints(kafka_bootstrap(bootstrap), postgres_dsn(dsn))
        current = configuration.current(endpoints)
        if current is None:
            return
        configuration.publish_config(endpoints, current.config)
    except (configuration.ConfigServiceError, NoAddressError) as error:
        print(f"sentinel: running jobs were not told, they notice within their reload interval: {safe_text(str(error))}", file=sys.stderr)
        return
    print("running jobs were told")


def _store(given: str | None, dsn: str | None) -> ModelStore:
    """The store of an option, else of the configuration in force, else of the built-in one."""
    path = given or _configured(dsn)
    if "://" not in path and not Path(path).is_absolute():
        path = str(Path(path).resolve()) if given else str(default_home() / "data" / path)
    return ModelStore(root_of(path))


def _configured(dsn: str | None) -> str:
    try:
        current = configuration.current(_Endpoints("", postgres_dsn(dsn)))
    except (configuration.ConfigServiceError, NoAddressError):
        current = None
    return str(current.config["detection"]["mlModels"]["path"]) if current else "models"


def _settings(given: list[str]) -> dict[str, Any]:
    found = {}
    for item in given:
        name, separator, value = item.partition("=")
        if not separator:
            raise ModelError(f"--set {item!r}: expected NAME=NUMBER")
        found[name.strip()] = value.strip()
    return found


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ModelError(f"--since {text!r}: {error}") from None


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except (ModelError, StoredDataError, NoAddressError, configuration.ConfigServiceError) as error:
        print(f"sentinel: {safe_text(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
