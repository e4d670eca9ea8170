"""Templates of the configuration: each must be understood, and use names that are there when it is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.alerting.template_names import DEFINITION_NAMES, INCIDENT_NAMES, MESSAGE_NAMES, Names, unknown_names
from sentinel.config.canonical import Path
from sentinel.config.errors import Finding, nearest, shown
from sentinel.config.model import SentinelConfig

_Found = Iterator[tuple[Path, str, Names]]
_WORDS: dict[str, Names] = {"notification": MESSAGE_NAMES, "incident": INCIDENT_NAMES}
"""What `title` and `text` of an action may use."""


def template_findings(config: SentinelConfig) -> Iterator[Finding]:
    """Every template that is none, and every name in one that nothing will fill."""
    for places in (_of_messages(config), _of_definitions(config), _of_incidents(config)):
        for path, source, names in places:
            yield from _findings(path, source, names)


def _findings(path: Path, source: str, names: Names) -> Iterator[Finding]:
    try:
        unknown = unknown_names(source, names)
    except ValueError as error:
        yield Finding(path, "", str(error))
        return
    for one in unknown:
        known = f"expected a template with names that there are here ({', '.join(one.valid)})"
        yield Finding(path, shown(one.name), known, nearest(one.name, one.valid))


def _of_messages(config: SentinelConfig) -> _Found:
    for name, template in config.alerting.templates.items():
        for key, source in (("title", template.title), ("text", template.text)):
            if source is not None:
                yield ("alerting", "templates", name, key), source, MESSAGE_NAMES


def _of_definitions(config: SentinelConfig) -> _Found:
    for number, definition in enumerate(config.alerting.definitions):
        here: Path = ("alerting", "definitions", number)
        for what, templates in (("labels", definition.labels), ("annotations", definition.annotations)):
            for name, source in (templates or {}).items():
                yield (*here, what, name), source, DEFINITION_NAMES
        for position, action in enumerate(definition.actions):
            settings = (action.config and action.config.model_extra) or {}
            for key in ("title", "text"):
                if action.type in _WORDS and settings.get(key) is not None:
                    yield (*here, "actions", position, "config", key), str(settings[key]), _WORDS[action.type]


def _of_incidents(config: SentinelConfig) -> _Found:
    manager = config.integrations.incident_manager
    fields = manager.mapping.fields if manager and manager.mapping else {}
    for name, source in fields.items():
        path: Path = ("integrations", "incidentManager", "mapping", "fields", name)
        if isinstance(source, str):
            yield path, source, INCIDENT_NAMES
        else:
            for number, text in enumerate(source):
                yield (*path, number), text, INCIDENT_NAMES
