"""Seeded generator of attacks and of harmless texts that look like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np

from sentinel.injection.training.disguises import PAYLOAD, WHOLE, typing_errors
from sentinel.injection.training.examples import Example
from sentinel.injection.training.given import insert
from sentinel.injection.training.grammar import Grammar

T = TypeVar("T")

PER_FAMILY: Final = 550
_TYPING_ERRORS: Final = 0.08
_TRIES: Final = 4

_SHORT_ATTACKS: Final = ("instruction-override", "system-prompt-extraction", "secret-extraction", "role-play", "privileged-mode")
_SHORT_HARMLESS: Final = ("trigger-words-everyday", "trigger-words-technical", "business", "security-and-meta", "fiction-and-hypothesis")


def generate(seed: int, carriers: Sequence[str] = (), per_family: int = PER_FAMILY) -> list[Example]:
    """Examples of every family of the grammar, and composed ones. `carriers` are harmless texts of others to plant attacks in.

    Equal texts appear once. The same seed and carriers give the same list.
    """
    rng = np.random.default_rng([seed, 5])
    grammar = Grammar()
    examples: list[Example] = []
    for family in grammar.families.values():
        for _ in range(round(per_family * family.weight)):
            examples.append(Example(_varied(grammar.draw(family.name, rng), rng), family.label, family.name))
    for _ in range(per_family):
        examples.append(Example(encoded(grammar, True, rng), 1, "encoded"))
        examples.append(Example(encoded(grammar, False, rng), 0, "encoded-harmless"))
        examples.append(Example(disguised(grammar, True, rng), 1, "disguised"))
        examples.append(Example(disguised(grammar, False, rng), 0, "disguised-harmless"))
        examples.append(Example(_mixed(grammar, rng), 1, "mixed"))
        examples.append(Example(_long_harmless(grammar, rng), 0, "long-harmless"))
    for carrier in carriers:
        examples.append(Example(insert(carrier, grammar.slot("answer_order", rng), rng), 1, "answer-orders-in-given-texts"))
        examples.append(Example(insert(carrier, grammar.slot("format_wish", rng), rng), 0, "format-wishes-in-given-texts"))
        examples.append(Example(insert(carrier, grammar.slot("planted", rng), rng), 1, "planted-in-given-texts"))
        examples.append(Example(insert(carrier, grammar.slot("human_order", rng), rng), 0, "human-orders-in-given-texts"))
        examples.append(Example(insert(carrier, grammar.slot("side_order", rng), rng), 1, "side-orders-in-given-texts"))
        examples.append(Example(insert(carrier, grammar.slot("reader_note", rng), rng), 0, "notes-in-given-texts"))
    seen: dict[str, None] = {}
    return [example for example in examples if len(example.text) > 2 and not (example.text in seen or seen.update({example.text: None}))]


def encoded(grammar: Grammar, attack: bool, rng: np.random.Generator) -> str:
    """An encoded attack or harmless text within words that ask for decoding."""
    disguise = _pick(list(PAYLOAD.values()), rng)
    payload = disguise(_short(grammar, attack, rng), rng)
    carrier = grammar.slot("decode_and_obey" if attack and rng.random() < 0.6 else "decode_only", rng)
    return carrier.replace("@@", payload)


def disguised(grammar: Grammar, attack: bool, rng: np.random.Generator) -> str:
    """A text that is written so that a filter does not see its words."""
    return _pick(list(WHOLE.values()), rng)(_short(grammar, attack, rng), rng)


def _short(grammar: Grammar, attack: bool, rng: np.random.Generator) -> str:
    for _ in range(_TRIES):
        text = grammar.draw(_pick(_SHORT_ATTACKS if attack else _SHORT_HARMLESS, rng), rng)
        if len(text) < 160:
            break
    return text[:300]


def _mixed(grammar: Grammar, rng: np.random.Generator) -> str:
    """Two techniques in one text, or an attack behind a harmless beginning."""
    attacks = [family.name for family in grammar.families.values() if family.label == 1]
    first = grammar.draw(_pick(attacks, rng), rng) if rng.random() < 0.5 else _harmless(grammar, rng)
    second = grammar.draw(_pick(attacks, rng), rng)
    parts = [first, second] if rng.random() < 0.75 else [second, first]
    if rng.random() < 0.3:
        parts.insert(int(rng.integers(3)), _harmless(grammar, rng))
    return str(rng.choice(["\n", " ", "\n\n", " - "])).join(parts)


def _long_harmless(grammar: Grammar, rng: np.random.Generator) -> str:
    """Several harmless texts after one another: as many windows as a long attack has."""
    parts = [_harmless(grammar, rng) for _ in range(int(rng.integers(2, 8)))]
    return str(rng.choice(["\n", " ", "\n\n"])).join(parts)


def _harmless(grammar: Grammar, rng: np.random.Generator) -> str:
    harmless = [family.name for family in grammar.families.values() if family.label == 0]
    return grammar.draw(_pick(harmless, rng), rng)


def _varied(text: str, rng: np.random.Generator) -> str:
    """Small changes that people make: case, a missing full stop, typing errors."""
    chance = rng.random()
    text = " ".join(text.split(" ")).strip() if chance < 0.97 else text
    text = text.replace("  ", " ")
    chance = rng.random()
    if chance < 0.12:
        text = text.lower()
    elif chance < 0.16:
        text = text.upper()
    elif chance < 0.6 and text:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.15:
        text = text.rstrip(".!?")
    return typing_errors(text, rng) if text and rng.random() < _TYPING_ERRORS else text


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
