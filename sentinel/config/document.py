"""YAML (or JSON) text to plain values, with limits, so that no file can exhaust the reader."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 50
MAX_NODES: Final = 200_000
"""Values after aliases are expanded."""


class DocumentError(Exception):
    """The text is not a configuration document; the message says what, at which line."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 without its surprises: no timestamps, no base-60 numbers (`22:00` stays text), no octal."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":int", ":float"))]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$|0x[0-9a-fA-F]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def read_document(text: str, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The mapping that the text holds.

    Raises:
        DocumentError: not YAML, not one mapping, a key given twice, or above a limit (1 MB, depth 50, 200,000 values).
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise DocumentError(f"expected at most {max_bytes:,} bytes, found {size:,}")
    try:
        _check_limits(text)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError(f"{place}expected YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(f"expected YAML: {str(error).splitlines()[0]}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise DocumentError(f"expected a mapping at the top, found {type(document).__name__}")
    return document


class _Frame:
    """One open mapping or list while events are counted."""

    __slots__ = ("anchor", "depth", "is_mapping", "keys", "nodes", "position")

    def __init__(self, anchor: str | None, is_mapping: bool) -> None:
        self.anchor = anchor
        self.is_mapping = is_mapping
        self.nodes = 1
        self.depth = 1
        self.keys: set[str] = set()
        self.position = 0


def _check_limits(text: str) -> None:
    frames: list[_Frame] = []
    anchors: dict[str, tuple[int, int]] = {}
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            frames.append(_Frame(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(frames) > MAX_DEPTH:
                raise _at(event, f"expected at most {MAX_DEPTH} levels")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            closed = frames.pop()
            if closed.anchor:
                anchors[closed.anchor] = (closed.nodes, closed.depth)
            _add(frames, closed.nodes, closed.depth, event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _at(event, f"expected an anchor {event.anchor} that is complete before its alias")
            _add(frames, *anchors[event.anchor], event)
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                anchors[event.anchor] = (1, 0)
            if frames and frames[-1].is_mapping and frames[-1].position % 2 == 0 and event.value != "<<":
                if event.value in frames[-1].keys:
                    raise _at(event, f"expected each key once, found {event.value!r} again")
                frames[-1].keys.add(event.value)
            _add(frames, 1, 0, event)


def _add(frames: list[_Frame], nodes: int, depth: int, event: Any) -> None:
    if not frames:
        return
    frame = frames[-1]
    frame.nodes += nodes
    frame.depth = max(frame.depth, depth + 1)
    frame.position += 1
    if frame.nodes > MAX_NODES:
        raise _at(event, f"expected at most {MAX_NODES:,} values with aliases expanded")
    if len(frames) + depth > MAX_DEPTH:
        raise _at(event, f"expected at most {MAX_DEPTH} levels with aliases expanded")


def _at(event: Any, message: str) -> DocumentError:
    mark = event.start_mark
    return DocumentError(f"line {mark.line + 1}, column {mark.column + 1}: {message}")
