"""Alertmanager's matcher texts: `{a="b", c=~"d"}`, several in one text, quoted names, bare values."""

from __future__ import annotations

import re
from typing import Final

_ONE: Final = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)+)"|([A-Za-z_][A-Za-z0-9_.:-]*))\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}\s][^,{}"]*)?)\s*"""
)
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


def read_matchers(text: str) -> list[tuple[str, str, str]]:
    """Label, operator and value of each matcher in the text.

    Raises:
        ValueError: when the text is not made of matchers.
    """
    rest = text.strip()
    if rest.startswith("{") or rest.endswith("}"):
        if not (rest.startswith("{") and rest.endswith("}")):
            raise ValueError(f"expected a closed pair of braces around matchers, found {text!r}")
        rest = rest[1:-1].strip()
    found: list[tuple[str, str, str]] = []
    while rest:
        match = _ONE.match(rest)
        if match is None:
            raise ValueError(f"""expected a matcher such as severity="critical", found {rest[:80]!r}""")
        quoted_name, name, operator, quoted, bare = match.groups()
        value = _unescaped(quoted) if quoted is not None else (bare or "").rstrip()
        found.append((_unescaped(quoted_name) if quoted_name is not None else name, operator, value))
        rest = rest[match.end() :]
        if rest and not rest.startswith(","):
            raise ValueError(f"expected a comma between matchers, found {rest[:80]!r}")
        rest = rest[1:].strip()
    return found


def matcher_text(label: str, operator: str, value: str) -> str:
    """A matcher as our configuration writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    name = label if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", label) else '"' + label.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f'{name}{operator}"{escaped}"'


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text)
