"""What a rule for one kind of personal data consists of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Span = tuple[int, int]
Check = Callable[[bytes, int, int], Span | None]
"""(the whole text, start, end of a candidate) -> the part of it that is personal data, or None. Offsets are bytes of UTF-8."""

HINTS = {
    "at": r"[^\s@](?:@|%40)[^\s@.]+\.|://[^\s/@]*:[^\s/@]+@",
    "number": r"[0-9](?:[ ().,/+\-]{0,3}[0-9]){6}|[0-9]{6}[A-F][0-9]{3}",
    "code": (
        r"(?i:\b[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b|\b[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}"
        r"|[A-Z][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b|[A-Z]{4}[0-9]{6}[HM][A-Z])"
    ),
    "address": r"[0-9]\.[0-9]+\.[0-9]+\.[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f]*:[0-9A-Fa-f]|:[0-9A-Fa-f]+::|[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-",
    "birth": r"(?i:birth|born|d\.?o\.?b|gebor|geb\.|geburt|n[eé]e? le|naissance|nacimi|nacid|nascit|\bnat[oa]\b|nascim|nascid|geboorte)",
    "password": (
        r"(?i:pass(?:word|wd|phrase|code|wort)|kennwort|pwd|mot de passe|contrase[ñn]a|senha|wachtwoord|has[łl]o|parola|пароль|密码|パスワード)"
        r"[\"'`]?(?:\s*[:=]|：| (?i:is|was|ist|lautet|est|es|é|to) )"
    ),
    "secret": r"(?i:secret|token|key|credential)[\w\-\"'` ]{0,4}[:=]|(?i:bearer|basic)\s",
    "token": (
        r"\b(?:A[KSGR][IPO]A|AIDA|gh[pousr]_|github_pat_|gl[a-z]{2,4}-|xox[abeprs]-|xapp-|[sp]k-|AIza|ya29\.|[srp]k_|whsec_|SG\.|SK|AC|npm_|pypi-|hf_|"
        r"do[opr]_|shp|dapi|gsk_|r8_|xai-|lin_api_|ntn_|hvs\.|glsa_|dp\.|ATATT|key-|eyJ|bc1|0x|[13])[A-Za-z0-9_\-.]{10}"
        r"|:AA[A-Za-z0-9_\-]{33}|hooks\.slack\.com|PRIVATE KEY"
    ),
}
"""What every candidate of a group of rules contains. Nearly all texts contain none of it, and so are read once by one small automaton."""
Hint = Literal["at", "number", "code", "address", "birth", "password", "secret", "token"]


class Rule(NamedTuple):
    """One way to recognise one kind.

    Attributes:
        kind: what is found, of `sentinel.privacy.kinds`.
        hint: what in `HINTS` every candidate contains.
        pattern: RE2; group 1 is the candidate. What stands around it decides, so that a rule needs no look-around.
        check: a checksum or another proof; None takes every candidate.
        words: lower-case words of which the text must contain one; none means any text.
    """

    kind: str
    hint: Hint
    pattern: str
    check: Check | None = None
    words: tuple[str, ...] = ()


def proved_by(predicate: Callable[[str], object]) -> Check:
    """A check of the candidate alone, by a function of its text.

    One that breaks over a candidate proves nothing against it: what looks like personal data is taken for it, and no text stops a door or a job.
    """

    def check(data: bytes, start: int, end: int) -> Span | None:
        try:
            proved = predicate(data[start:end].decode(errors="replace"))
        except Exception:
            proved = True
        return (start, end) if proved else None

    return check


def standing_alone(check: Check) -> Check:
    """The check, for a candidate that is no part of a longer row of digit groups: none like its own, by the same separator, stands beside it."""

    def alone(data: bytes, start: int, end: int) -> Span | None:
        inside = data[start:end]
        before, after = data[max(0, start - 2) : start], data[end : end + 2]
        continued = before[:1].isdigit() and before[1:] in _SEPARATORS and before[1:] in inside
        continues = after[1:].isdigit() and after[:1] in _SEPARATORS and after[:1] in inside
        return None if continued or continues else check(data, start, end)

    return alone


_SEPARATORS = (b" ", b".", b"-", b"/")


def announced(words: str, number: str, gap: int = 24) -> str:
    """Pattern for a number that only a word before it tells from any other number: `words` is a RE2 alternation, without regard to case.

    Between the two may stand neither digits nor brackets: a mask would shorten the way, and a second pass find what the first did not.
    """
    return rf"(?i:{words})[^0-9\[\]\n]{{0,{gap}}}?\b({number})\b"
