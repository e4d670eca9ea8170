"""Other shapes of the specification's examples, and snake_case keys, to the one canonical document.

The canonical document is what the models read. Every move is remembered, so that an error names the place where the user wrote it.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from sentinel.config.types import camel

Path = tuple[str | int, ...]


@dataclass
class Canonical:
    """A canonical document, where its parts stood before, and what was given in two places."""

    document: dict[str, Any]
    moves: list[tuple[Path, Path]] = field(default_factory=list)
    doubled: list[tuple[Path, Path]] = field(default_factory=list)

    def original_path(self, path: Path) -> Path:
        """Where the user wrote what the canonical path holds."""
        best: tuple[Path, Path] | None = None
        for target, origin in self.moves:
            if path[: len(target)] == target and (best is None or len(target) > len(best[0])):
                best = (target, origin)
        return best[1] + path[len(best[0]) :] if best else path


def canonical(document: dict[str, Any]) -> Canonical:
    """Move the accepted other shapes to their canonical places. The input is left as it is."""
    result = Canonical(dict(document))
    _detectors(result)
    _alerts(result)
    _as_mapping(result, ("detection", "detectors"), "items")
    _as_mapping(result, ("alerting", "routing"), "routes")
    tenants = result.document.get("tenants")
    if isinstance(tenants, dict):
        result.document["tenants"] = {key: dict(value) if isinstance(value, dict) else value for key, value in tenants.items()}
        for tenant in tenants:
            _as_mapping(result, ("tenants", tenant, "detectors"), "items")
    return result


def _detectors(result: Canonical) -> None:
    """Top-level `detectors` is `detection.detectors`."""
    if "detectors" not in result.document:
        return
    value = result.document.pop("detectors")
    detection = result.document.get("detection")
    section = dict(detection) if isinstance(detection, dict) else {}
    known = section.get("detectors")
    target: Path = ("detection", "detectors")
    if isinstance(value, list):
        value = {"items": value}
        target = (*target, "items")
    if isinstance(known, dict) and isinstance(value, dict) and not known.keys() & value.keys():
        section["detectors"] = {**known, **value}
    elif known is None:
        section["detectors"] = value
    else:
        result.doubled.append((("detectors",), target))
        return
    result.document["detection"] = section
    result.moves.append((target, ("detectors",)))


def _alerts(result: Canonical) -> None:
    """Top-level `alerts` is `alerting.definitions` (a list) or a part of `alerting` (a mapping)."""
    if "alerts" not in result.document:
        return
    value = result.document.pop("alerts")
    if isinstance(value, list):
        parts, prefix = {"definitions": value}, ("alerts",)
    elif isinstance(value, dict):
        parts, prefix = value, None
    else:
        parts, prefix = {"definitions": value}, ("alerts",)
    alerting = result.document.get("alerting")
    section = dict(alerting) if isinstance(alerting, dict) else {}
    for key, part in parts.items():
        origin: Path = prefix or ("alerts", key)
        if key in section:
            result.doubled.append((origin, ("alerting", key)))
            continue
        section[key] = part
        result.moves.append((("alerting", key), origin))
    result.document["alerting"] = section


def _as_mapping(result: Canonical, path: Path, key: str) -> None:
    """A list at the path is the mapping with this list under the key."""
    parent: Any = result.document
    for step in path[:-1]:
        child = parent.get(step) if isinstance(parent, dict) else None
        if not isinstance(child, dict):
            return
        parent[step] = parent = dict(child)
    value = parent.get(path[-1])
    if isinstance(value, list):
        parent[path[-1]] = {key: value}
        result.moves.append(((*path, key), result.original_path(path)))


def canonical_keys(value: Any, annotation: Any, *, loose: bool = False) -> Any:
    """The value with keys as the model's aliases say. `loose` ignores case and underscores (environment variables)."""
    model, item = _shape(annotation)
    if isinstance(value, list) and item is not None:
        return [canonical_keys(element, item, loose=loose) for element in value]
    if not isinstance(value, dict):
        return value
    if model is None:
        return {key: canonical_keys(element, item, loose=loose) for key, element in value.items()} if item is not None else value
    names = {_squash(name) if loose else name: name for name in model.model_fields}
    names.update({_squash(info.alias) if loose else info.alias: name for name, info in model.model_fields.items() if info.alias})
    result: dict[Any, Any] = {}
    for key, element in value.items():
        name = names.get(_squash(key) if loose else key) if isinstance(key, str) else None
        if name is None:
            result[key] = element
            continue
        info = model.model_fields[name]
        alias = info.alias or name
        # Both spellings of one key: keep both, and the model refuses the second.
        target = key if alias in value and key != alias else alias
        result[target] = canonical_keys(element, info.annotation, loose=loose)
    return result


def _squash(text: str) -> str:
    return text.replace("_", "").lower()


def _shape(annotation: Any) -> tuple[type[BaseModel] | None, Any]:
    """The model that an annotation stands for, or the annotation of the items of its list or mapping."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _shape(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        for argument in get_args(annotation):
            model, item = _shape(argument)
            if model is not None or item is not None:
                return model, item
        return None, None
    if origin is list:
        return None, get_args(annotation)[0]
    if origin is dict:
        return None, get_args(annotation)[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    return None, None


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the mapping at a canonical path below a model, or None."""
    annotation: Any = model
    for step in path:
        here, item = _shape(annotation)
        if here is not None:
            info = next((info for name, info in here.model_fields.items() if step in (name, info.alias, camel(name))), None)
            if info is None:
                return None
            annotation = info.annotation
        elif item is not None:
            annotation = item
        else:
            return None
    return _shape(annotation)[0]
