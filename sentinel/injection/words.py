"""Texts as words: how a text is split, and what stands for a word wherever it is hashed or looked up."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Punctuation comes in runs (`-->`, three backticks), a line break is a word, and so is each letter of a script that writes no spaces.
_ASCII: Final = re.compile(r"\w+|[^\w\s]+|\n+")
_UNSPACED: Final = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_ANY: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]+|\n+")

LONGEST_WORD = 40
"""Characters; what is longer is no word of a language, and one name stands for all of it."""

_CONFUSABLE: Final = str.maketrans(
    "авсеһіјкмнорѕтухԛԝѵɡԁαβεηικνορτυχωɑıꜱ",
    "abcehijkmhopstyxqwvgdabenikvoptuxwais",
)
"""Letters of other scripts (Cyrillic, Greek, phonetic) that look like Latin ones (Unicode Technical Standard 39, skeletons)."""

_FOREIGN: Final = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u0561-\u0587]")
_LATIN: Final = re.compile(r"[A-Za-z]")


def split_words(text: str) -> list[str]:
    """The words of a text as they stand there."""
    return (_ASCII if text.isascii() else _ANY).findall(text)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `split_words` begins and ends."""
    return [match.span() for match in (_ASCII if text.isascii() else _ANY).finditer(text)]


def mixes_scripts(word: str) -> bool:
    """Whether Latin letters and letters of another alphabet stand in one word, as nobody writes who means no harm."""
    return not word.isascii() and _FOREIGN.search(word) is not None and _LATIN.search(word) is not None


def normal_form(word: str) -> str:
    """One spelling for a word: compatibility forms, case and accents folded, look-alike letters of a mixed word made Latin, numbers by length."""
    if not word.isascii():
        word = unicodedata.normalize("NFKC", word)
        if mixes_scripts(word):
            word = word.lower().translate(_CONFUSABLE)
        word = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))
    word = word.lower() or "<mark>"
    if word[0] == "\n":
        return "\n" if len(word) == 1 else "\n\n"
    if word.isdecimal():
        return f"<number-{min(len(word), 6)}>"
    if len(word) > LONGEST_WORD:
        return "<long>"
    return word if word[0].isalnum() or word[0] == "_" else word[:4]
