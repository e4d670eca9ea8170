"""`sentinel redact`: try what the product does with personal data, on texts of your own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import typer

from sentinel.config.errors import ConfigError
from sentinel.config.load import default_config, load_config
from sentinel.privacy.policy import HashKeyMissingError, settings_from
from sentinel.privacy.redaction import Redactor, shared_scanner
from sentinel.privacy.report import Score, Scores
from sentinel.privacy.scanner import Finding
from services.cli.output import print_table

app = typer.Typer()


class _Label(msgspec.Struct):
    kind: str
    start: int
    end: int


class _Line(msgspec.Struct):
    id: str
    text: str
    tenant_id: str = "default"
    expected: list[_Label] | None = None


@app.command("redact")
def redact(
    source: Annotated[Path, typer.Option("--input", "-i", help="JSON lines {id, text}, or - for standard input.")],
    target: Annotated[
        Path, typer.Option("--output", "-o", help="JSON lines {id, text, found: [{kind, start, end}]}; default: stdout.")
    ] = Path("-"),
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration with the policies; default: the built-in one, which masks.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose policy; default: the line's tenant_id, else default.")] = None,
    report: Annotated[
        bool, typer.Option(help="Print precision and recall by kind instead, against `expected: [{kind, start, end}]` in each line.")
    ] = False,
) -> None:
    """Redact personal data and secrets in texts. `found` are places in the original text."""
    try:
        loaded = load_config(config) if config else default_config()
        redactor = Redactor(settings_from(loaded.config.to_snapshot()))
        if report:
            _print_report(source)
        else:
            _write(source, target, redactor, tenant)
    except BrokenPipeError:
        raise
    except (ConfigError, HashKeyMissingError, OSError, _LineError) as error:
        print(f"sentinel redact: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


class _LineError(Exception):
    pass


def _opened(path: Path, mode: Literal["rb", "wb"]) -> AbstractContextManager[BinaryIO]:
    """A file, or for `-` the standard stream, which stays open afterwards."""
    if str(path) == "-":
        return nullcontext(sys.stdin.buffer if mode == "rb" else sys.stdout.buffer)
    return path.open(mode)


def _lines(source: Path) -> Iterator[_Line]:
    decode = msgspec.json.Decoder(_Line).decode
    with _opened(source, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield decode(line)
                except (msgspec.DecodeError, RecursionError) as error:
                    raise _LineError(f"{source}, line {number}: {error}") from None


def _write(source: Path, target: Path, redactor: Redactor, tenant: str | None) -> None:
    encode, find = msgspec.json.Encoder().encode, shared_scanner().find
    with _opened(target, "wb") as out:
        for line in _lines(source):
            owner = tenant or line.tenant_id
            policy = redactor.settings.of(owner)
            redacted = redactor.redact(line.text, owner)
            found: list[dict[str, Any]] = [one._asdict() for one in find(line.text) if policy.action_for(one.kind) != "off"]
            out.write(encode({"id": line.id, "text": redacted.text, "found": found}) + b"\n")


def _print_report(source: Path) -> None:
    scores, texts, find = Scores(), 0, shared_scanner().find
    for texts, line in enumerate(_lines(source), start=1):
        if line.expected is None:
            raise _LineError(f"{source}, line {texts}: expected a list `expected` of {{kind, start, end}}, found nothing")
        scores.add(find(line.text), [Finding(label.kind, label.start, label.end) for label in line.expected])
    rows = [_row(kind, score) for kind, score in sorted(scores.by_kind.items())]
    print_table(
        ["kind", "values", "found", "wrong", "precision", "recall"],
        [*rows, _row("all", scores.total())],
        ["values", "found", "wrong", "precision", "recall"],
    )
    print(f"{texts:,} texts", file=sys.stderr)


def _row(kind: str, score: Score) -> list[object]:
    return [kind, score.found + score.missed, score.found, score.wrong, f"{score.precision:.3f}", f"{score.recall:.3f}"]
