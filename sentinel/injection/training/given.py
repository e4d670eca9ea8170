"""The given data (see its README): read as examples, never copied."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinel.injection.training.examples import Example

TABLE_SHARE = 150
"""Tables taken of the 900: they resemble one another."""


def given_examples(folder: Path, rng: np.random.Generator) -> list[Example]:
    """All training examples of the folder. Raises FileNotFoundError naming the file that is missing."""
    return [*_attacks(folder), *_benign(folder), *_planted(folder, rng)]


def deepset_dev(folder: Path) -> list[Example]:
    """The published test split: for reporting only."""
    frame = pd.read_parquet(folder / "deepset-dev.parquet")
    return [Example(str(row.text), int(row.label), "deepset-dev") for row in frame.itertuples()]


def _attacks(folder: Path) -> Iterator[Example]:
    frame = pd.read_parquet(folder / "deepset-train.parquet")
    for row in frame.itertuples():
        yield Example(str(row.text), int(row.label), "deepset" if row.label else "deepset-benign")
    for text in _json(folder / "inthewild-jailbreaks.json"):
        yield Example(text, 1, "jailbreaks-in-the-wild")
    for path in sorted((folder / "dan").glob("*.json")):
        for text in _json(path):
            yield Example(text, 1, "jailbreaks-in-the-wild")


def _benign(folder: Path) -> Iterator[Example]:
    for row in _lines(folder / "benign-arena-hard.jsonl"):
        yield Example(row["prompt"], 0, "arena-hard")
    for row in _json(folder / "benign-mitre-frr.json"):
        yield Example(row["mutated_prompt"], 0, "security-questions")
    for name in ("seed-tasks", "user-oriented"):
        for row in _lines(folder / f"benign-{name}.jsonl"):
            yield Example(row["instruction"], 0, "written-tasks")
            given = _first_input(row)
            if given:
                yield Example(f"{row['instruction']}\n\n{given}", 0, "written-tasks")
    for row in _lines(folder / "benign-t0-sample.jsonl"):
        yield Example(row["text"], 0, "task-prompts")


def contexts(folder: Path) -> list[tuple[str, str, str]]:
    """(kind, context, question) of the clean contexts."""
    result: list[tuple[str, str, str]] = []
    for row in _lines(folder / "bipia-context-email-train.jsonl"):
        result.append(("mail", row["context"], row["question"]))
    for row in _lines(folder / "bipia-context-table-train.jsonl")[:TABLE_SHARE]:
        result.append(("table", row["context"], row["question"]))
    for row in _lines(folder / "bipia-context-code-train.jsonl"):
        parts = [_joined(row[name]) for name in ("error", "code", "context")]
        result.append(("code", "\n".join(parts), "Fix the code."))
    return result


def _planted(folder: Path, rng: np.random.Generator) -> Iterator[Example]:
    clean = contexts(folder)
    for kind, context, question in clean:
        yield Example(context, 0, "clean-contexts")
        if kind != "code":
            yield Example(f"{context}\n\n{question}", 0, "clean-contexts")
    text_attacks = [(kind, text) for kind, texts in _json(folder / "bipia-text_attack_train.json").items() for text in texts]
    code_attacks = [text for texts in _json(folder / "bipia-code_attack_train.json").values() for text in texts]
    for kind, attack in text_attacks:
        about_answer = kind not in (
            "Information Retrieval",
            "Content Creation",
            "Learning and Tutoring",
            "Language Translation",
            "Programming Help",
        )
        for _ in range(8 if about_answer else 4):
            _, context, _question = clean[int(rng.integers(len(clean)))]
            yield Example(insert(context, attack, rng), 1, "planted-answers" if about_answer else "planted-tasks")
    code = [context for kind, context, _ in clean if kind == "code"]
    for attack in code_attacks:
        for _ in range(8):
            yield Example(insert(code[int(rng.integers(len(code)))], attack, rng), 1, "planted-code")
        yield Example(attack, 1, "planted-code")


def insert(context: str, attack: str, rng: np.random.Generator) -> str:
    """The attack at the beginning, in the middle (at a line break or a space) or at the end of the context."""
    place = int(rng.integers(3))
    if place == 0:
        return f"{attack}\n{context}"
    if place == 2:
        return f"{context}\n{attack}"
    breaks = [index for index, letter in enumerate(context) if letter == "\n"] or [
        index for index, letter in enumerate(context) if letter == " "
    ]
    middle = breaks[int(rng.integers(len(breaks)))] if breaks else len(context)
    return f"{context[:middle]}\n{attack}{context[middle:]}"


def _first_input(row: dict[str, Any]) -> str:
    try:
        instances = ast.literal_eval(row["instances"]) if isinstance(row["instances"], str) else row["instances"]
        return str(instances[0]["input"])
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError):
        return ""


def _joined(value: Any) -> str:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return str(value)
    text: str = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
