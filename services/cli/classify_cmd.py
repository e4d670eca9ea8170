"""`sentinel classify`: score texts for prompt injection, without a stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from services.cli.safe_text import safe_text

BATCH = 500


class _Prompt(msgspec.Struct):
    """One line of input. Other fields are ignored."""

    id: str | int
    text: str


_decoder = msgspec.json.Decoder(_Prompt)
_encoder = msgspec.json.Encoder()


class _Lines:
    """The prompts of a file in order; lines that are none are told on stderr and counted."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.refused = 0

    def __iter__(self) -> Iterator[_Prompt]:
        for number, line in enumerate(self._file, 1):
            if not line.strip():
                continue
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self.refused += 1
                print(safe_text(f'{self._name} line {number}: expected {{"id": …, "text": "…"}}: {error}'), file=sys.stderr)


def classify(
    input_path: Annotated[Path, typer.Option("--input", "-i", help="JSON lines with id and text; - is standard input.")],
    output_path: Annotated[Path, typer.Option("--output", "-o", help="Where the scores go, one JSON line a prompt; - is standard output.")],
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="From this score on a text is labelled injection.")] = 0.85,
    model: Annotated[Path | None, typer.Option(help="Model file; default: the one of this release.")] = None,
) -> None:
    """Score prompts for injection and jailbreak: {id, text} in, {id, score, label, reasons} out, in order.

    A line that is no prompt is named on stderr and left out; the others are scored, and the exit code is 1.
    """
    from sentinel.injection.artifact import DEFAULT_PATH, ArtifactError
    from sentinel.injection.classifier import shared_classifier

    try:
        classifier = shared_classifier(model or DEFAULT_PATH)
        with _opened(input_path, "rb", sys.stdin.buffer) as source, _opened(output_path, "wb", sys.stdout.buffer) as target:
            lines = _Lines(source, str(input_path))
            count, flagged, seconds = _score(classifier, lines, target, threshold)
    except (ArtifactError, OSError) as error:
        print(safe_text(f"sentinel classify: {error}"), file=sys.stderr)
        raise typer.Exit(1) from None
    rate = count / seconds if seconds else 0.0
    print(f"{count:,} prompts, {flagged:,} injections, {rate:,.0f} prompts/s ({classifier.name}, threshold {threshold:g})", file=sys.stderr)
    if lines.refused:
        print(f"{lines.refused:,} lines were not prompts and were left out", file=sys.stderr)
        raise typer.Exit(1)


def _score(classifier: Any, lines: _Lines, target: BinaryIO, threshold: float) -> tuple[int, int, float]:
    """(prompts, injections, seconds spent on scoring and reasons)."""
    from sentinel.injection.reasons import judge

    count = flagged = 0
    seconds = 0.0
    prompts = iter(lines)
    while batch := list(islice(prompts, BATCH)):
        began = time.perf_counter()
        verdicts = judge(classifier, [prompt.text for prompt in batch], threshold)
        seconds += time.perf_counter() - began
        for prompt, verdict in zip(batch, verdicts, strict=True):
            label = "injection" if verdict.is_injection else "benign"
            record = {"id": prompt.id, "score": verdict.score, "label": label, "reasons": verdict.reasons}
            target.write(_encoder.encode(record) + b"\n")
            flagged += verdict.is_injection
        count += len(batch)
    return count, flagged, seconds


class _Standard:
    """A standard stream as a context that leaves it open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __enter__(self) -> BinaryIO:
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._stream.flush()


def _opened(path: Path, mode: str, standard: BinaryIO) -> Any:
    if str(path) == "-":
        return _Standard(standard) if mode == "wb" else _Input(standard)
    return path.open(mode)


class _Input(_Standard):
    """Standard input; there is nothing to flush."""

    def __exit__(self, *_: object) -> None:
        return None


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("classify")(classify)
