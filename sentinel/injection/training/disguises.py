"""Ways to hide a text, for attacks and harmless texts alike."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import numpy as np

Disguise = Callable[[str, np.random.Generator], str]

_LEET: Final = {"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7", "l": "1", "b": "8"}
_LOOK_ALIKE: Final = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "i": "і", "s": "ѕ", "y": "у"}
_INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_MORSE_CODES: Final = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE: Final = dict(zip("abcdefghijklmnopqrstuvwxyz", _MORSE_CODES.split(), strict=True))


def leetspeak(text: str, rng: np.random.Generator) -> str:
    share = rng.uniform(0.4, 1.0)
    return "".join(_LEET.get(letter.lower(), letter) if rng.random() < share else letter for letter in text)


def look_alikes(text: str, rng: np.random.Generator) -> str:
    share = rng.uniform(0.2, 0.8)
    return "".join(_LOOK_ALIKE.get(letter, letter) if rng.random() < share else letter for letter in text)


def invisible(text: str, rng: np.random.Generator) -> str:
    share = rng.uniform(0.1, 0.6)
    return "".join(letter + (_INVISIBLE[int(rng.integers(len(_INVISIBLE)))] if rng.random() < share else "") for letter in text)


def tag_characters(text: str, rng: np.random.Generator) -> str:
    return "".join(chr(0xE0000 + ord(letter)) for letter in text if 32 <= ord(letter) < 127)


def spaced(text: str, rng: np.random.Generator) -> str:
    gap = str(rng.choice([" ", ".", "-", "_", "*"]))
    between = "   " if gap == " " else " "
    return between.join(gap.join(word) for word in text.split())


def base_64(text: str, rng: np.random.Generator) -> str:
    return base64.b64encode(text.encode()).decode()


def hexadecimal(text: str, rng: np.random.Generator) -> str:
    return text.encode().hex(" " if rng.random() < 0.5 else ":") if rng.random() < 0.7 else text.encode().hex()


def binary(text: str, rng: np.random.Generator) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def character_codes(text: str, rng: np.random.Generator) -> str:
    return " ".join(str(byte) for byte in text.encode())


def percent(text: str, rng: np.random.Generator) -> str:
    return quote(text, safe="") if rng.random() < 0.5 else "".join(f"%{byte:02X}" for byte in text.encode())


def escapes(text: str, rng: np.random.Generator) -> str:
    form = "\\u{:04x}" if rng.random() < 0.5 else "&#{};"
    return "".join(form.format(ord(letter)) for letter in text)


def rot13(text: str, rng: np.random.Generator) -> str:
    return codecs.encode(text, "rot13")


def reversed_text(text: str, rng: np.random.Generator) -> str:
    return text[::-1]


def reversed_words(text: str, rng: np.random.Generator) -> str:
    return " ".join(word[::-1] for word in text.split())


def morse(text: str, rng: np.random.Generator) -> str:
    words = ("".join(letter for letter in word.lower() if letter in _MORSE) for word in text.split())
    return " / ".join(" ".join(_MORSE[letter] for letter in word) for word in words if word)


def typing_errors(text: str, rng: np.random.Generator) -> str:
    letters = list(text)
    for _ in range(max(1, len(letters) // 40)):
        place = int(rng.integers(len(letters)))
        action = int(rng.integers(3))
        if not letters[place].isalpha():
            continue
        if action == 0:
            letters[place] = ""
        elif action == 1:
            letters[place] *= 2
        elif place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


WHOLE: Final[dict[str, Disguise]] = {
    "leetspeak": leetspeak,
    "look-alikes": look_alikes,
    "invisible": invisible,
    "spaced": spaced,
    "reversed": reversed_text,
    "reversed words": reversed_words,
    "rot13": rot13,
}
"""Used on a whole text: a person or a model can still read it."""

PAYLOAD: Final[dict[str, Disguise]] = {
    "base64": base_64,
    "hexadecimal": hexadecimal,
    "binary": binary,
    "character codes": character_codes,
    "percent": percent,
    "escapes": escapes,
    "morse": morse,
    "rot13": rot13,
    "reversed": reversed_text,
    "tag characters": tag_characters,
    "base64 twice": lambda text, rng: base_64(base_64(text, rng), rng),
}
"""Used on a part, with words around it."""
