"""The table of names (`aliases.yaml`), compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import re2
import yaml

Attributes = Mapping[str, Any]
Lookup = Callable[[Attributes], Any]

_LONGEST_MESSAGE = 1_000
FILE = Path(__file__).parent / "aliases.yaml"


class Logs(msgspec.Struct, forbid_unknown_fields=True):
    """Event names of log records, by what they carry."""

    content: list[str]
    score: list[str]


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """The file as it is."""

    version: int
    schema: str
    fields: dict[str, list[str]]
    inference: list[str]
    inference_marks: list[str]
    first_token_events: list[str]
    status_code_in_message: str
    copies: list[str]
    prefixes: list[str]
    logs: Logs
    metrics: list[str]
    finish_reasons: dict[str, list[str]]
    environments: dict[str, list[str]]


class AliasTable:
    """Looks fields up in the attributes of a span and its resource."""

    def __init__(self, table: Table) -> None:
        self.version = table.version
        self._lookups = {field: [_compiled(name) for name in names] for field, names in table.fields.items()}
        self._inference = frozenset(table.inference)
        self._marks = tuple(table.inference_marks)
        self._prefixes = tuple(table.prefixes)
        self._metrics = tuple(table.metrics)
        self.first_token_events, self.copies = frozenset(table.first_token_events), frozenset(table.copies)
        self._status_code = re2.compile(table.status_code_in_message)
        self.content_logs, self.score_logs = frozenset(table.logs.content), frozenset(table.logs.score)
        self._finish_reasons = _inverted(table.finish_reasons)
        self._environments = _inverted(table.environments)
        self._known = frozenset(name.partition("#")[0] for names in table.fields.values() for name in names)
        self._numbered = tuple(name[:-1] for names in table.fields.values() for name in names if name.endswith(".*"))

    def get(self, field: str, *places: Attributes) -> Any:
        """The first value under any name of the field, name by name, in the first of the places that has it; None when nobody has."""
        for lookup in self._lookups[field]:
            for attributes in places:
                value = lookup(attributes)
                if value is not None and value != "":
                    return value
        return None

    def text(self, field: str, *places: Attributes) -> str | None:
        """As `get`, as text."""
        value = self.get(field, *places)
        return value if value is None or isinstance(value, str) else str(value)

    def number(self, field: str, *places: Attributes) -> float | None:
        """As `get`, as a number; None for what is none, or not finite."""
        value = self.get(field, *places)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value or value in (float("inf"), float("-inf")):
            return None
        return value

    def count(self, field: str, *places: Attributes) -> int | None:
        """As `number`, whole."""
        value = self.number(field, *places)
        return None if value is None else int(value)

    def is_inference(self, attributes: Attributes) -> bool:
        """Whether a span is one call of a model."""
        operation = self.get("operation", attributes)
        if isinstance(operation, str):
            return operation.lower() in self._inference
        return any(mark in attributes for mark in self._marks)

    def concerns_models(self, names: Iterable[str]) -> bool:
        """Whether any attribute name belongs to a dialect of the table."""
        return any(name.startswith(self._prefixes) for name in names)

    def is_metric(self, name: str) -> bool:
        """Whether a metric of this name becomes an event."""
        return name.startswith(self._metrics)

    def finish_reason(self, value: Any) -> str | None:
        """One of stop, length, content_filter, error; None for what the table does not know. A list stands for its first member, as does its JSON."""
        if isinstance(value, str) and value[:1] in ("[", '"'):
            value = _json(value)
        if isinstance(value, list):
            value = value[0] if value else None
        return self._finish_reasons.get(str(value).lower()) if value is not None else None

    def status_code(self, message: str | None) -> int | None:
        """The HTTP status that the message of a failure names."""
        found = self._status_code.search(message[:_LONGEST_MESSAGE]) if message else None
        return int(found.group(1)) if found else None

    def environment(self, value: str | None) -> str | None:
        """One of dev, staging, prod, or None."""
        return self._environments.get(value.lower()) if value else None

    def rest(self, attributes: Attributes) -> dict[str, str]:
        """Model attributes that no field of the table takes, as short texts: they are kept as tags."""
        return {
            name[:200]: str(value)[:500]
            for name, value in attributes.items()
            if name not in self._known and name.startswith(self._prefixes) and not name.startswith(self._numbered)
        }


@cache
def alias_table() -> AliasTable:
    """The table of this release."""
    return AliasTable(msgspec.convert(yaml.safe_load(FILE.read_text("utf-8")), Table))


def _compiled(name: str) -> Lookup:
    if "#" in name:
        attribute, _, key = name.partition("#")

        def member(attributes: Attributes) -> Any:
            value = attributes.get(attribute)
            document = _json(value) if isinstance(value, str) else value
            return document.get(key) if isinstance(document, dict) else None

        return member
    if name.endswith(".*"):
        prefix = name[:-1]

        def numbered(attributes: Attributes) -> Any:
            if not any(key.startswith(prefix) for key in attributes):
                return None
            return numbered_messages(attributes, prefix)

        return numbered
    return lambda attributes: attributes.get(name)


def numbered_messages(attributes: Attributes, prefix: str) -> list[dict[str, Any]] | None:
    """`prefix0.message.content`, `prefix0.role`, … as a list of messages, at most 1,000."""
    found: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        number, _, rest = key[len(prefix) :].partition(".")
        if number.isdecimal() and len(number) <= 3:
            found.setdefault(int(number), {})[rest.removeprefix("message.")] = value
    return [found[number] for number in sorted(found)] or None


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _inverted(groups: dict[str, list[str]]) -> dict[str, str]:
    return {name: group for group, names in groups.items() for name in names}
