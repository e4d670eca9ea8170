"""Label matchers as text: `severity="critical"`, `team=~"ml|platform"`, `env!=dev`."""

from __future__ import annotations

import re
from typing import Final

_MATCHER: Final = re.compile(
    r"""\s*(?:([A-Za-z_][A-Za-z0-9_.]*)|"((?:[^"\\]|\\.)+)")\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\s][^"]*?)?)\s*"""
)


def parse_matcher(text: str) -> tuple[str, str, str]:
    """Label, operator (`=`, `!=`, `=~`, `!~`) and value.

    Raises:
        ValueError: when the text is not a matcher.
        PydanticCustomError: when RE2 cannot run its regular expression.
    """
    match = _MATCHER.fullmatch(text) if len(text) <= 4000 else None
    if not match:
        raise ValueError("""expected a matcher such as severity="critical" or team=~"ml|platform" """.rstrip())
    label, quoted_label, operator, quoted, bare = match.groups()
    value = _unescaped(quoted) if quoted is not None else (bare or "")
    if "~" in operator:
        from sentinel.config.regex import check_regex

        check_regex(value)
    return label or _unescaped(quoted_label), operator, value


def _unescaped(text: str) -> str:
    return re.sub(r"\\([n\"\\])", lambda found: "\n" if found[1] == "n" else found[1], text)
