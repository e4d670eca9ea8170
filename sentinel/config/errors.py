"""What is wrong with a configuration: file, path, value, what was expected, the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from sentinel.config.canonical import Path, model_at
from sentinel.config.receivers import RECEIVER_TYPES
from sentinel.config.strategies import STRATEGIES

_MASKED = "(not shown)"
_PLAIN = {
    "missing": "expected a value, found nothing",
    "extra_forbidden": "expected a known key",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
}


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        source: file name, or `environment`.
        path: where, as the user wrote it: `detection.detectors.items[2].config.metric`.
        value: what was found, shortened; secrets are not shown.
        expected: what would be right.
        nearest: the nearest valid name, or None.
    """

    source: str
    path: str
    value: str
    expected: str
    nearest: str | None = None

    def __str__(self) -> str:
        where = f"{self.source}: {self.path}: " if self.path else f"{self.source}: "
        found = f", found {self.value}" if self.value else ""
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{where}{self.expected}{found}{hint}"


class ConfigError(Exception):
    """A configuration that is refused as a whole, with everything that is wrong in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def path_text(path: Path) -> str:
    """`("items", 2, "id")` is `items[2].id`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def shown(value: Any) -> str:
    """A value as people read it in a message, at most 80 characters."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "…"


def nearest(name: Any, valid: Iterable[str]) -> str | None:
    """The most similar valid name, if one is similar at all."""
    options = list(valid)
    if not isinstance(name, str):
        return None
    folded = {option.lower().replace("_", ""): option for option in options}
    exact = folded.get(name.lower().replace("_", "").replace("-", ""))
    return exact or next(iter(get_close_matches(name, options, n=1, cutoff=0.6)), None)


@dataclass(frozen=True)
class Finding:
    """A problem at a canonical path, before it is told where the user wrote it."""

    path: Path
    value: str
    expected: str
    nearest: str | None = None


def findings(error: ValidationError, root: type[BaseModel], document: Any = None) -> list[Finding]:
    """All findings of a validation. `document` is what was validated; it tells which settings a detector or a receiver may have."""
    return [_finding(item, root, document) for item in error.errors(include_url=False)]


def _settings_model(document: Any, path: Path) -> type[BaseModel] | None:
    """The model of a `config` that depends on its neighbour: on a detector's strategy or a receiver's type."""
    owner = document
    for step in path[: path.index("config")]:
        try:
            owner = owner[step]
        except (KeyError, IndexError, TypeError):
            return None
    strategy, kind = (owner.get("strategy"), owner.get("type")) if isinstance(owner, dict) else (None, None)
    if isinstance(strategy, str) and strategy in STRATEGIES:
        return STRATEGIES[strategy].params
    return RECEIVER_TYPES.get(kind) if isinstance(kind, str) else None


def _finding(item: Any, root: type[BaseModel], document: Any) -> Finding:
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    full: Path = tuple(item["loc"])
    if kind == "extra_forbidden":
        model = model_at(root, full[:-1])
        if "config" in full[:-1] and (settings := _settings_model(document, full)):
            model = model_at(settings, full[full.index("config") + 1 : -1])
        names = [str(info.alias or name) for name, info in model.model_fields.items()] if model else []
        return Finding(full, "", "expected a known key", nearest(full[-1], names))
    if kind == "missing":
        return Finding(full, "", "expected a value, found nothing")
    if kind == "literal_secret":
        return Finding(full, _MASKED, item["msg"])
    if kind == "unknown_name":
        valid = context["valid"]
        listed = ", ".join(valid) if len(valid) <= 25 else f"{len(valid)} are known"
        return Finding(full, shown(value), f"{item['msg']} ({listed})", nearest(value, valid))
    if kind == "unknown_event":
        found, valid = context["found"], context["valid"]
        return Finding(full, shown(found), f"{item['msg']} ({', '.join(valid)})", nearest(found, valid))
    if kind in ("literal_error", "enum"):
        # pydantic lists the allowed values as 'a', 'b' or 'c'.
        allowed = [part for part in str(context.get("expected", "")).split("'") if part.strip() not in ("", ",", "or")]
        return Finding(full, shown(value), f"expected one of {', '.join(allowed)}", nearest(value, allowed))
    message = _PLAIN.get(kind) or item["msg"].removeprefix("Value error, ")
    if not message.startswith("expected"):
        message = f"expected another value ({message[0].lower()}{message[1:]})"
    return Finding(full, shown(value), message)
