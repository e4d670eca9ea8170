"""Read a configuration: file or text → checked model and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from sentinel.config.action_receivers import with_webhook_receivers
from sentinel.config.canonical import Canonical, Path, canonical, canonical_keys
from sentinel.config.checks import broken_references, warnings
from sentinel.config.document import MAX_BYTES, DocumentError, read_document
from sentinel.config.environment import environment_overrides, merged
from sentinel.config.errors import ConfigError, Finding, Problem, findings, path_text
from sentinel.config.model import SentinelConfig
from sentinel.config.receivers import INCIDENT_RECEIVER

DEFAULT_FILE = FilePath(__file__).parent / "defaults" / "sentinel-config.yaml"
"""The built-in configuration."""


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration, and sentences about what is accepted but not done as written."""

    config: SentinelConfig
    warnings: list[str]
    source: str


def load_config(path: FilePath | str, *, use_environment: bool = True) -> LoadedConfig:
    """Read a file, with `SENTINEL__…` variables of the environment on top.

    Raises:
        ConfigError: the file cannot be read, or the configuration is not valid; nothing of it is used then.
    """
    file = FilePath(path)
    return parse_config(read_text(file), str(path), base_folder=file.parent, overrides=environment_overrides() if use_environment else None)


def default_config() -> LoadedConfig:
    """The built-in configuration."""
    return load_config(DEFAULT_FILE, use_environment=False)


def parse_config(
    text: str, source_name: str, *, base_folder: FilePath | None = None, overrides: dict[str, Any] | None = None
) -> LoadedConfig:
    """Read a text.

    Args:
        text: YAML or JSON.
        source_name: what errors call it.
        base_folder: where `configFile` references start; without it they stay unread, with a warning.
        overrides: nested values that replace those of the text.

    Raises:
        ConfigError: with every problem found.
    """
    reader = _Reader(source_name, base_folder)
    document = reader.canonical_document(text)
    if overrides:
        document = merged(document, canonical_keys(overrides, SentinelConfig, loose=True))
        reader.environment = canonical_keys(overrides, SentinelConfig, loose=True)
    complete = _with_defaults(document)
    if isinstance(complete["alerting"], dict):
        complete["alerting"], reader.moved = with_webhook_receivers(complete["alerting"])
    try:
        config = SentinelConfig.model_validate(complete)
    except ValidationError as error:
        raise ConfigError(reader.problems(findings(error, SentinelConfig, complete))) from None
    broken = list(broken_references(config))
    if broken:
        raise ConfigError(reader.problems(broken))
    notes = [*reader.notes, *(f"{path_text(reader.where(path))}: {text}" for path, text in warnings(config, document))]
    return LoadedConfig(config, notes, source_name)


class _Reader:
    """One reading: the document with what it includes, and where each part was written."""

    def __init__(self, source: str, base_folder: FilePath | None) -> None:
        self.source = source
        self.base_folder = base_folder
        self.notes: list[str] = []
        self.environment: dict[str, Any] = {}
        self.moved: dict[Path, Path] = {}
        self._canonical = Canonical({})
        self._files: dict[Path, tuple[str, Canonical]] = {}

    def canonical_document(self, text: str) -> dict[str, Any]:
        self._canonical = _canonical(text, self.source)
        document: dict[str, Any] = canonical_keys(self._canonical.document, SentinelConfig)
        self._include(document, ("detection", "detectors"), ("items",))
        self._include(document, ("alerting",), ("definitions", "receivers", "routing", "grouping", "suppression"))
        return document

    def _include(self, document: dict[str, Any], path: Path, keys: tuple[str, ...]) -> None:
        """Take the keys of a section from the file that its `configFile` names."""
        section: Any = document
        for step in path:
            section = section.get(step) if isinstance(section, dict) else None
        name = section.get("configFile") if isinstance(section, dict) else None
        if not isinstance(name, str):
            return
        where = path_text(self.where((*path, "configFile")))
        if self.base_folder is None:
            self.notes.append(f"{where}: {name} is read when the configuration is loaded from a file")
            return
        file = self.base_folder / name
        try:
            included = _canonical(read_text(file), str(file))
        except ConfigError as error:
            raise ConfigError(
                [Problem(self.source, where, f'"{name}"', "expected a readable configuration file"), *error.problems]
            ) from None
        part: Any = canonical_keys(included.document, SentinelConfig)
        for step in path:
            part = part.get(step, {}) if isinstance(part, dict) else {}
        taken = {key: value for key, value in part.items() if key in keys} if isinstance(part, dict) else {}
        if not taken:
            raise ConfigError([Problem(self.source, where, f'"{name}"', f"expected a file with {' or '.join(keys)} of {path_text(path)}")])
        for key, value in taken.items():
            if key in section:
                problem = Problem(self.source, where, f'"{name}"', f"expected {key} in one place, found it here and in the file")
                raise ConfigError([problem])
            section[key] = value
            self._files[(*path, key)] = (str(file), included)

    def where(self, path: Path) -> Path:
        """The place in the user's own writing."""
        return self._place(path)[1]

    def problems(self, found: list[Finding]) -> list[Problem]:
        """Findings as the user can find them."""
        result = []
        for finding in found:
            source, path = self._place(finding.path)
            result.append(Problem(source, path_text(path), finding.value, finding.expected, finding.nearest))
        return result

    def _place(self, path: Path) -> tuple[str, Path]:
        for prefix, written in self.moved.items():
            if path[: len(prefix)] == prefix:
                path = (*written, *path[len(prefix) :])
        for prefix, (file, included) in self._files.items():
            if path[: len(prefix)] == prefix:
                return file, included.original_path(path)
        if _holds(self.environment, path):
            return "environment", path
        return self.source, self._canonical.original_path(path)


def _canonical(text: str, source: str) -> Canonical:
    try:
        result = canonical(read_document(text))
    except DocumentError as error:
        raise ConfigError([Problem(source, "", "", str(error))]) from None
    if result.doubled:
        problems = [
            Problem(source, path_text(origin), "", f"expected this in one place, found it here and at {path_text(target)}")
            for origin, target in result.doubled
        ]
        raise ConfigError(problems)
    return result


def read_text(file: FilePath) -> str:
    """The text of a configuration file. Raises ConfigError when it cannot be read, is too long or is not UTF-8."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem(str(file), "", "", f"expected at most {MAX_BYTES:,} bytes")])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem(str(file), "", "", f"expected a readable file ({error.strerror})")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(file), "", "", f"expected UTF-8 text; byte {error.start} is not")]) from None


def _holds(values: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(values, dict) or step not in values:
            return False
        values = values[step]
    return bool(path)


@cache
def _defaults() -> dict[str, Any]:
    document: dict[str, Any] = canonical_keys(canonical(read_document(DEFAULT_FILE.read_text("utf-8"))).document, SentinelConfig)
    return document


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the built-in configuration has and the document leaves out: detectors, definitions, receivers with their routes."""
    defaults = _defaults()
    result = dict(document)
    detection = result["detection"] = _section(document, "detection")
    if isinstance(detection, dict):
        detectors = detection["detectors"] = _section(detection, "detectors")
        if isinstance(detectors, dict):
            detectors.setdefault("items", defaults["detection"]["detectors"]["items"])
    alerting = result["alerting"] = _section(document, "alerting")
    if isinstance(alerting, dict):
        routing = alerting["routing"] = _section(alerting, "routing")
        alerting.setdefault("definitions", defaults["alerting"]["definitions"])
        if "receivers" not in alerting:
            alerting["receivers"] = defaults["alerting"]["receivers"]
            if isinstance(routing, dict):
                for key in ("defaultReceiver", "routes"):
                    routing.setdefault(key, defaults["alerting"]["routing"][key])
        alerting["receivers"] = _with_incidents(alerting["receivers"], document.get("integrations"))
    return result


def _with_incidents(receivers: Any, integrations: Any) -> Any:
    """The receivers, and one for incidents where the Incident Manager is configured and the receivers have none."""
    manager = integrations.get("incidentManager") if isinstance(integrations, dict) else None
    if not isinstance(receivers, list) or not isinstance(manager, dict) or manager.get("enabled") is False:
        return receivers
    if any(isinstance(receiver, dict) and receiver.get("type") == "incident" for receiver in receivers):
        return receivers
    return [*receivers, {"name": INCIDENT_RECEIVER, "type": "incident"}]


def _section(parent: Any, key: str) -> Any:
    value = parent.get(key, {}) if isinstance(parent, dict) else {}
    return dict(value) if isinstance(value, dict) else value
