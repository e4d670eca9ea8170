"""Texts that hide what they say: undone, so that what is hidden can be scored like any other text.

Nothing here decides whether a text is an attack. People send base64 and write leetspeak for good reasons; a view of a text is one more text to score.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

import re2

MAX_VIEWS = 8
"""Views of one text; more would let a text choose how long it is worked on."""

MAX_DECODED = 20_000
"""Characters of a view; the rest is not looked at."""

INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
"""Characters that are not seen: zero width, direction marks, variation selectors, tags."""

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]{4,}")

_BASE64 = r"[A-Za-z0-9+/_-]{20,}={0,2}"
_HEX = r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]?){10,}"
_BINARY = r"(?:[01]{8}[\s,]?){6,}"
_PERCENT = r"(?:%[0-9a-fA-F]{2}[\w.!-]{0,12}){4,}"
_ESCAPES = r"(?:\\u[0-9a-fA-F]{4}|&#x?[0-9a-fA-F]{2,6};){4,}"
_MORSE = r"(?:[.\-·–]{1,6}[ /|]{1,3}){8,}[.\-·–]{1,6}"
_SPACED = r"(?:\b\w[ .\-_*|]{1,2}){8,}\w\b"
_DECIMAL = r"(?:\b(?:[3-9]\d|1[01]\d|12[0-6])\b[\s,]+){8,}\d{2,3}"
_JOINED = r"(?:['\"][^'\"\n]{1,80}['\"]\s*(?:\+|\.\.)\s*){1,}['\"][^'\"\n]{1,80}['\"]"
_ASSIGNED = r"\b\w{1,12}\s*:?=\s*['\"“][^'\"”\n]{1,120}['\"”][\s\S]{0,400}?\b\w{1,12}\s*:?=\s*['\"“]"
_ANY: Final = re2.compile("|".join((_BASE64, _HEX, _BINARY, _PERCENT, _ESCAPES, _MORSE, _SPACED, _DECIMAL, _JOINED, _ASSIGNED)))
_MORSE_CODES: Final = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE_LETTERS: Final = dict(zip(_MORSE_CODES.split(), "abcdefghijklmnopqrstuvwxyz", strict=True))
_LEET: Final = str.maketrans("01345789@$!|", "oieastbgasii")
_COMMON: Final = frozenset(
    [
        "the",
        "and",
        "you",
        "your",
        "for",
        "are",
        "all",
        "that",
        "with",
        "from",
        "what",
        "this",
        "not",
        "have",
        "will",
        "should",
        "must",
        "can",
        "now",
        "about",
        "everything",
        "ignore",
        "forget",
        "disregard",
        "previous",
        "instructions",
        "instruction",
        "rules",
        "rule",
        "system",
        "prompt",
        "secret",
        "password",
        "reveal",
        "show",
        "tell",
        "print",
        "write",
        "act",
        "pretend",
        "without",
        "answer",
        "everything",
        "above",
        "before",
        "following",
        "respond",
        "never",
        "always",
        "restrictions",
        "hidden",
        "key",
        "repeat",
        "output",
        "please",
        "user",
        "assistant",
    ]
)
_REVERSED: Final = frozenset(word[::-1] for word in _COMMON if len(word) > 2) - _COMMON
_ROTATED: Final = frozenset(codecs.encode(word, "rot13") for word in _COMMON if len(word) > 2) - _COMMON


class View(NamedTuple):
    """A hidden text made readable: how it was hidden, and where in the original it stood (characters)."""

    kind: str
    text: str
    start: int
    end: int


def word_disguise(word: str) -> int:
    """1 for a common word spelt backwards, 2 for one rotated by 13, 3 for leetspeak, else 0. For normal forms of words."""
    if word in _REVERSED:
        return 1
    if word in _ROTATED:
        return 2
    if 3 < len(word) < 20 and not word.isalpha() and any(letter.isalpha() for letter in word) and word.translate(_LEET) in _COMMON:
        return 3
    return 0


def visible(text: str) -> str:
    """The text without characters that are not seen. The same object when there are none."""
    if text.isascii() or INVISIBLE.search(text) is None:
        return text
    return INVISIBLE.sub("", text)


def encodable(text: str) -> str:
    """The text with a question mark for each half of a character, which no encoding knows; places stay. The same object where there is none."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def may_hide(text: str) -> bool:
    """Whether `views` could find something by form; one pass of RE2."""
    return _ANY.search(text) is not None or (not text.isascii() and _TAGS.search(text) is not None)


def views(text: str, disguises: Sequence[int] = ()) -> list[View]:
    """The hidden texts of a text, at most `MAX_VIEWS`; `disguises` says how many words of each kind `word_disguise` found (index 1 to 3)."""
    found: list[View] = []
    seen: set[str] = set()
    for view in _all_views(text, disguises):
        view = view._replace(text=visible(view.text[:MAX_DECODED]))
        if len(view.text) >= 8 and view.text not in seen:
            seen.add(view.text)
            found.append(view)
            if len(found) == MAX_VIEWS:
                break
    return found


def _all_views(text: str, disguises: Sequence[int]) -> Iterator[View]:
    whole = (0, len(text))
    for match in _TAGS.finditer(text):
        yield View("tag characters", "".join(chr(ord(letter) - 0xE0000) for letter in match[0]), *match.span())
    for kind, pattern, decode in _DECODERS:
        for match in re2.finditer(pattern, text):
            decoded = decode(match[0])
            if decoded is not None and _readable(decoded):
                yield View(kind, decoded, *match.span())
    if disguises:
        if disguises[1] >= 2:
            yield View("reversed", text[::-1], *whole)
            yield View("reversed words", " ".join(word[::-1] for word in text.split()), *whole)
        if disguises[2] >= 2:
            yield View("rot13", codecs.encode(text, "rot13"), *whole)
        if disguises[3] >= 1:
            yield View("leetspeak", text.translate(_LEET), *whole)
    if len(parts := _LITERALS.findall(text)) > 1 and (_ASSIGNS.search(text) or "+" in text):
        yield View("split text", "".join(part[1:-1] for part in parts), *whole)
        yield View("split text", " ".join(part[1:-1].strip() for part in parts), *whole)


_LITERALS: Final = re.compile(r"\"[^\"\n]{1,120}\"|'[^'\n]{1,120}'|“[^”\n]{1,120}”")
_ASSIGNS: Final = re.compile(r"\w\s*:?=\s*[\"'“]")


def _base64(text: str) -> str | None:
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    if not any(letter.isdigit() or letter.isupper() for letter in body):
        return None
    try:
        return base64.b64decode(body[: len(body) // 4 * 4 + (len(body) % 4 if len(body) % 4 != 1 else 0)] + "=" * (-len(body) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _hex(text: str) -> str | None:
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", text)
    return _utf8(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _binary(text: str) -> str | None:
    bits = re.sub(r"[^01]", "", text)
    return _utf8(bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits) - 7, 8)))


def _decimal(text: str) -> str | None:
    return _utf8(bytes(int(number) for number in re.findall(r"\d+", text) if int(number) < 256))


def _escapes(text: str) -> str | None:
    decoded = html.unescape(re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text))
    # Two escapes may be the halves of one character; a half alone is nothing.
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _morse(text: str) -> str | None:
    plain = text.replace("·", ".").replace("–", "-")
    words = re.split(r"\s*[/|]\s*|\s{3,}", plain.strip())
    return " ".join("".join(_MORSE_LETTERS.get(letter, "") for letter in word.split()) for word in words)


def _spaced(text: str) -> str | None:
    words = re.split(r"\s{2,}|[|/]", text)
    return " ".join(re.sub(r"[ .\-_*|]", "", word) for word in words)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _readable(text: str) -> bool:
    """Whether most of it are letters and spaces: digests and keys decode to noise."""
    letters = sum(letter.isalpha() or letter in " \n.,:;!?'\"-" for letter in text)
    return letters >= 0.8 * len(text)


_DECODERS: Final = (
    ("base64", _BASE64, _base64),
    ("hexadecimal", _HEX, _hex),
    ("binary", _BINARY, _binary),
    ("character codes", _DECIMAL, _decimal),
    ("percent-encoding", _PERCENT, unquote),
    ("escapes", _ESCAPES, _escapes),
    ("morse", _MORSE, _morse),
    ("spaced letters", _SPACED, _spaced),
)
