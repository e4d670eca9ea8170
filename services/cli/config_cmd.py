"""`sentinel config`: check, show, apply, list and roll back the configuration. An invalid one changes nothing (exit code 1)."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from sentinel.config.errors import ConfigError
from sentinel.config.load import DEFAULT_FILE, LoadedConfig, default_config, load_config
from sentinel.config.model import from_snapshot
from services.cli.connection import NoAddressError, kafka_bootstrap, postgres_dsn
from services.config_service import store

app = typer.Typer(no_args_is_help=True)


class Format(StrEnum):
    """How data are written."""

    yaml = "yaml"
    json = "json"


@dataclass(frozen=True)
class _Endpoints:
    kafka_bootstrap: str
    postgres_dsn: str


File = Annotated[Path, typer.Argument(help="A sentinel-config.yaml (or JSON).")]
Output = Annotated[Format, typer.Option("--output", "-o", help="yaml or json.")]
Bootstrap = Annotated[str | None, typer.Option(help="Kafka bootstrap servers; default: those of the running stack.")]
Dsn = Annotated[str | None, typer.Option(help="Postgres DSN; default: that of the running stack.")]
Comment = Annotated[str | None, typer.Option("--comment", "-m", help="Why; kept with the version.")]


@app.command()
def validate(file: File) -> None:
    """Check a file; every mistake is named with path, value and what was expected."""
    with _failures():
        loaded = _loaded(file)
    config = loaded.config
    detectors = len(config.detection.detectors.items) + sum(len(tenant.detectors.items) for tenant in config.tenants.values())
    definitions, receivers = len(config.alerting.definitions), len(config.alerting.receivers)
    print(f"{file} is valid: {detectors} detectors, {definitions} alert definitions, {receivers} receivers")


@app.command()
def apply(file: File, comment: Comment = None, bootstrap: Bootstrap = None, dsn: Dsn = None) -> None:
    """Check a file and make it the configuration in force, without a restart."""
    with _failures():
        loaded = _loaded(file)
        published = store.publish(_endpoints(bootstrap, dsn), loaded, author=_author(), comment=comment)
    print(f"configuration version {published.version} is published ({published.sha256[:12]})")


@app.command("print")
def print_config(
    file: Annotated[Path | None, typer.Argument(help="A file; without it the version in force.")] = None,
    effective: Annotated[bool, typer.Option("--effective", help="With all defaults filled in.")] = False,
    output: Output = Format.yaml,
    dsn: Dsn = None,
) -> None:
    """Show a file (as written, or effective), or the configuration in force (always effective)."""
    with _failures():
        if file is not None:
            loaded = _loaded(file)
            document = loaded.config.to_snapshot() if effective else _as_written(loaded)
        else:
            found = store.current(_endpoints(None, dsn, kafka=False))
            if found is None:
                print(f"no configuration was published yet: this is the built-in one ({DEFAULT_FILE.name})", file=sys.stderr)
            document = found.config if found else default_config().config.to_snapshot()
    _write(document, output)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    output: Annotated[Format | None, typer.Option("--output", "-o", help="yaml or json instead of a table.")] = None,
    dsn: Dsn = None,
) -> None:
    """List the versions, newest first."""
    with _failures():
        versions = store.history(_endpoints(None, dsn, kafka=False), limit)
    if output:
        rows = [
            {"version": v.version, "createdAt": v.created_at.isoformat(), "author": v.author, "comment": v.comment, "sha256": v.sha256}
            for v in versions
        ]
        _write(rows, output)
        return
    table = Table("version", "created", "author", "comment", "sha256", box=None)
    for entry in versions:
        table.add_row(
            str(entry.version), f"{entry.created_at:%Y-%m-%d %H:%M:%S}", entry.author or "", entry.comment or "", entry.sha256[:12]
        )
    Console().print(table)


@app.command()
def show(version: Annotated[int, typer.Argument(help="Version number.")], output: Output = Format.yaml, dsn: Dsn = None) -> None:
    """Show the effective configuration of one version."""
    with _failures():
        found = store.version(_endpoints(None, dsn, kafka=False), version)
    _write(found.config, output)


@app.command()
def rollback(
    version: Annotated[int, typer.Argument(help="Version to go back to.")],
    comment: Comment = None,
    bootstrap: Bootstrap = None,
    dsn: Dsn = None,
) -> None:
    """Publish an earlier version again, under a new number."""
    with _failures():
        endpoints = _endpoints(bootstrap, dsn)
        earlier = store.version(endpoints, version)
        try:
            config = from_snapshot(earlier.config).to_snapshot()
        except ValueError:
            raise store.ConfigServiceError(f"version {version} is not valid for this release; apply its file anew") from None
        published = store.publish_config(endpoints, config, author=_author(), comment=comment or f"rollback to version {version}")
    print(f"configuration version {published.version} is published: the content of version {version}")


def _as_written(loaded: LoadedConfig) -> dict[str, Any]:
    document: dict[str, Any] = loaded.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return document


def _loaded(file: Path) -> LoadedConfig:
    loaded = load_config(file)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return loaded


def _endpoints(bootstrap: str | None, dsn: str | None, *, kafka: bool = True) -> _Endpoints:
    return _Endpoints(kafka_bootstrap(bootstrap) if kafka else "", postgres_dsn(dsn))


def _author() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _write(document: Any, output: Format) -> None:
    if output is Format.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140), end="")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (ConfigError, store.ConfigServiceError, NoAddressError) as error:
        print(f"sentinel: {error}", file=sys.stderr)
        raise SystemExit(1) from None
