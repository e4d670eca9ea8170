"""Texts from grammars: YAML files of templates with slots, expanded at random.

A file has `slots` (name: alternatives) and `families` (name: `label`, `templates`, and optionally `weight`). `{name}` in a template stands for one
alternative of a slot, `{=name}` for one that is the same in the whole text, `{a|b|}` for one of the parts; all may nest. `<<` and `>>` stand for braces in
the result. Slots of all files are shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml

FOLDER: Final = Path(__file__).parent / "grammar"
_INNERMOST: Final = re.compile(r"\{([^{}]*)\}")
_MAX_STEPS: Final = 400


class Family(NamedTuple):
    """One family of templates."""

    name: str
    label: int
    templates: list[str]
    weight: float


class Grammar:
    """The slots and families of all files of a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.slots: dict[str, list[str]] = {}
        self.families: dict[str, Family] = {}
        for path in sorted(folder.glob("*.yaml")):
            data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
            for name, alternatives in (data.get("slots") or {}).items():
                if name in self.slots:
                    raise ValueError(f"{path.name}: slot {name} is defined twice")
                self.slots[name] = [str(item) for item in alternatives]
            for name, family in (data.get("families") or {}).items():
                templates = [str(template) for template in family["templates"]]
                self.families[name] = Family(name, family["label"], templates, float(family.get("weight", 1.0)))
        for place, text in self._texts():
            for slot in _INNERMOST.findall(text):
                if "|" not in slot and slot.removeprefix("=") not in self.slots:
                    raise ValueError(f"{place}: no slot {slot!r} in {text[:80]!r}")

    def _texts(self) -> Iterator[tuple[str, str]]:
        for name, alternatives in self.slots.items():
            yield from ((f"slot {name}", text) for text in alternatives)
        for family in self.families.values():
            yield from ((f"family {family.name}", text) for text in family.templates)

    def draw(self, family: str, rng: np.random.Generator) -> str:
        """One text of a family."""
        templates = self.families[family].templates
        return self.expand(templates[int(rng.integers(len(templates)))], rng)

    def slot(self, name: str, rng: np.random.Generator) -> str:
        """One expanded alternative of a slot."""
        return self.expand("{" + name + "}", rng)

    def expand(self, text: str, rng: np.random.Generator) -> str:
        """The text with every slot filled. Raises ValueError when slots call one another without end."""
        fixed: dict[str, str] = {}
        for _ in range(_MAX_STEPS):
            match = _INNERMOST.search(text)
            if match is None:
                return text.replace("<<", "{").replace(">>", "}")
            slot = match[1]
            options = slot.split("|") if "|" in slot else self.slots[slot.removeprefix("=")]
            chosen = options[int(rng.integers(len(options)))]
            if slot.startswith("=") and "|" not in slot:
                chosen = fixed.setdefault(slot, chosen)
            text = text[: match.start()] + chosen + text[match.end() :]
        raise ValueError(f"slots call one another without end: {text[:120]!r}")
