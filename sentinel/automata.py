"""One RE2 automaton over many patterns: a text is read once, in time linear in it (github.com/google/re2)."""

from __future__ import annotations

from collections.abc import Sequence

import re2

_BYTES = 64 << 20
_PROBE = "[[:cntrl:]]probe"


def automaton(patterns: Sequence[str]) -> re2.Set:
    """Says by their numbers which of the patterns a text matches somewhere.

    RE2 answers "nothing" when its memory is too small for the patterns: that must never pass for an answer. So the same patterns are tried first
    with one more, and a text that it matches.

    Raises:
        re2.error: when a pattern is none.
        RuntimeError: when the patterns do not fit.
    """
    with_probe = _compiled([*patterns, _PROBE])
    if len(patterns) not in (with_probe.Match("\0probe") or ()):
        raise RuntimeError(f"{len(patterns)} patterns do not fit into an automaton of {_BYTES:,} bytes")
    return _compiled(patterns)


def options() -> re2.Options:
    """How patterns are run that may be many or large."""
    chosen = re2.Options()
    chosen.max_mem = _BYTES
    # A single pattern whose states do not fit is run without them, more slowly: nothing to tell on a worker's standard error.
    chosen.log_errors = False
    return chosen


def _compiled(patterns: Sequence[str]) -> re2.Set:
    matcher = re2.Set.SearchSet(options())
    for pattern in patterns:
        matcher.Add(pattern)
    matcher.Compile()
    return matcher
