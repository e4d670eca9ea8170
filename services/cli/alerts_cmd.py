"""`sentinel alerts`: work with alerts, try routes and timelines before they are in force, and move in from Alertmanager."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import yaml

from sentinel.alerting.importer import import_alertmanager, is_alertmanager
from sentinel.alerting.routing import RouteNode, build_tree
from sentinel.alerting.simulation import Simulation, to_lines
from sentinel.alerting.timeline import TimelineError, read_timeline
from sentinel.alerting.trial import Trial, load_trial, to_json
from sentinel.config.document import DocumentError, read_document
from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config, read_text
from services.cli import alerts_live_cmd

app = typer.Typer(no_args_is_help=True)
routes_app = typer.Typer(no_args_is_help=True)
app.add_typer(routes_app, name="routes", help="Try the routing tree.")
alerts_live_cmd.register(app)


class Compat(StrEnum):
    """Whose semantics a simulation has."""

    sentinel = "sentinel"
    alertmanager = "alertmanager"


Config = Annotated[Path, typer.Option("--config", help="sentinel-config.yaml, or an alertmanager.yml as it is.")]


@routes_app.command("test")
def routes_test(
    labels: Annotated[list[str] | None, typer.Argument(metavar="LABEL=VALUE...", help="Labels of an alert.")] = None,
    config: Config = Path("sentinel-config.yaml"),
    input: Annotated[Path | None, typer.Option("--input", help="JSON lines, each the labels of an alert; - for stdin.")] = None,
) -> None:
    """Print who would be told, comma-separated, in order; with --input one line for each line."""
    with failures():
        root = build_tree(_trial(config).config)
        if input is None:
            print(_receivers(root, dict(_pair(text) for text in labels or [])))
            return
        if labels:
            raise ValueError("expected either LABEL=VALUE or --input, found both")
        for number, line in enumerate(_lines(input), 1):
            if line.strip():
                print(_receivers(root, _labels(line, number)))


@app.command()
def simulate(
    timeline: Annotated[Path, typer.Option("--timeline", help="What happens when (YAML or JSON).")],
    config: Config = Path("sentinel-config.yaml"),
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for JSON lines; default: stdout.")] = None,
    compat: Annotated[Compat, typer.Option(help="Behave like Alertmanager where we differ on purpose.")] = Compat.sentinel,
) -> None:
    """Play a timeline on a virtual clock and write every attempt to tell somebody."""
    with failures():
        played = read_timeline(read_bytes(timeline).decode("utf-8-sig", "replace"), str(timeline))
        simulation = Simulation(_trial(config).config, played, strict=compat is Compat.alertmanager)
        lines = to_lines(simulation.run())
        if output is None or str(output) == "-":
            sys.stdout.write(lines.decode())
        else:
            output.write_bytes(lines)
            print(f"{lines.count(bytes([10]))} attempts written to {output}", file=sys.stderr)


@app.command("import")
def import_config(
    file: Annotated[Path, typer.Argument(help="alertmanager.yml")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")] = None,
) -> None:
    """Convert routes, receivers, inhibition and time intervals of an Alertmanager; what has no counterpart is listed on stderr."""
    with failures():
        document = read_document(read_text(file))
        if not is_alertmanager(document):
            raise ValueError(f"{file}: expected an Alertmanager configuration (with `route:`)")
        imported = import_alertmanager(document, str(file))
        checked = parse_config(to_json(imported), f"{file} (converted)")
        text = yaml.safe_dump(
            _written(checked.config.model_dump(mode="json", by_alias=True, exclude_unset=True)), sort_keys=False, width=120
        )
        if output is None:
            print(text, end="")
        else:
            output.write_text(text, "utf-8")
    for note in imported.notes:
        print(f"not converted: {note}", file=sys.stderr)
    for variable in imported.secrets:
        print(f"secret: put it into the environment variable {variable}", file=sys.stderr)
    print(f"{len(imported.notes)} not converted, {len(imported.secrets)} secrets to set", file=sys.stderr)


def _written(document: dict[str, Any]) -> dict[str, Any]:
    """Without what the importer did not write: the defaults of other sections, and empty lists."""
    kept = ("resolveTimeout", "grouping", "routing", "receivers", "receiverGroups", "timeIntervals", "inhibitRules")
    alerting = {key: document["alerting"][key] for key in kept if document["alerting"].get(key)}
    return {"version": document["version"], "alerting": alerting}


def _trial(file: Path) -> Trial:
    trial = load_trial(file)
    for note in trial.notes:
        print(f"warning: {note}", file=sys.stderr)
    return trial


def _receivers(root: RouteNode, labels: dict[str, str]) -> str:
    return ",".join(name for route in root.resolve(labels) for name in route.receivers)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"expected LABEL=VALUE, found {text!r}")
    return name, value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _labels(line: bytes, number: int) -> dict[str, str]:
    try:
        found = orjson.loads(line)
    except ValueError as error:
        raise ValueError(f"line {number}: expected JSON ({error})") from None
    found = found.get("labels", found) if isinstance(found, dict) and isinstance(found.get("labels", found), dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, str | int | float) for value in found.values()):
        raise ValueError(f"line {number}: expected a mapping of labels to text")
    return {name: str(value) for name, value in found.items()}


def _lines(file: Path) -> Iterator[bytes]:
    if str(file) == "-":
        yield from sys.stdin.buffer
    else:
        yield from read_bytes(file).splitlines()


def read_bytes(file: Path) -> bytes:
    """The content of a file. Raises ValueError when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: expected a readable file ({error.strerror})") from None


@contextmanager
def failures() -> Iterator[None]:
    """Mistakes of the user as one sentence, exit code 1."""
    try:
        yield
    except (ConfigError, TimelineError, DocumentError, ValueError) as error:
        print(f"sentinel: {error}", file=sys.stderr)
        raise SystemExit(1) from None
