"""Actions of detectors and definitions: what Shield and the Incident Manager need to be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from sentinel.config.canonical import Path
from sentinel.config.detection import Detector
from sentinel.config.errors import Finding, findings, nearest, shown
from sentinel.config.model import SentinelConfig
from sentinel.config.shield import ShieldActionSettings
from sentinel.contract.alert_definition import Action

_KEYS = {
    "notification": ("receivers", "priority", "template", "title", "text"),
    "incident": ("receivers", "severity", "auto_create", "title", "text"),
}
"""What the settings of an action may be where they are not those of a receiver or of Shield."""
_NO_SHIELD = "there is no integrations.shield.endpoint: what Shield is asked to do becomes a dead letter"
_NO_MANAGER = "there is no integrations.incidentManager: nobody is told of an incident"


def action_findings(config: SentinelConfig) -> Iterator[Finding]:
    """Settings of Shield actions that are wrong, webhook actions without an address, and receivers of incidents without an Incident Manager."""
    manager = config.integrations.incident_manager
    for number, receiver in enumerate(config.alerting.receivers):
        if receiver.type == "incident" and not (manager and manager.enabled):
            wanted = "expected integrations.incidentManager with an endpoint, which a receiver of type incident speaks to"
            yield Finding(("alerting", "receivers", number, "type"), shown(receiver.type), wanted)
    for path, _, action in _of_definitions(config):
        if action.type == "webhook" and not (action.config and action.config.receivers):
            yield Finding((*path, "config"), "", "expected url or urlFile, or the names of receivers")
        if action.type in _KEYS:
            yield from _unknown_keys(action, (*path, "config"))
        if action.type == "shield":
            yield from _shield_settings(action, (*path, "config"))


def detector_warnings(config: SentinelConfig, detector: Detector) -> Iterator[str]:
    """What a detector asks of a Shield that is not there."""
    if not config.integrations.shield and any(
        action.shield and not (action.config and action.config.endpoint) for action in detector.actions
    ):
        yield f"detector {detector.id}: {_NO_SHIELD}"


def action_warnings(config: SentinelConfig) -> Iterator[tuple[Path, str]]:
    """What a definition asks of neighbours that are not there."""
    told = any(receiver.type == "incident" for receiver in config.alerting.receivers)
    for path, definition, action in _of_definitions(config):
        template = (action.config and (action.config.model_extra or {}).get("template")) or ""
        if action.type == "notification" and template and template not in config.alerting.templates:
            hint = nearest(template, config.alerting.templates)
            yield (
                path,
                f"definition {definition}: alerting.templates has no {template}{f' (did you mean {hint}?)' if hint else ''}: the usual message is sent",
            )
        endpoint = action.config and (action.config.model_extra or {}).get("endpoint")
        if action.type == "shield" and not config.integrations.shield and not endpoint:
            yield path, f"definition {definition}: {_NO_SHIELD}"
        if action.type == "incident" and not told:
            yield path, f"definition {definition}: {_NO_MANAGER}"


def _of_definitions(config: SentinelConfig) -> Iterator[tuple[Path, str, Action]]:
    for number, definition in enumerate(config.alerting.definitions):
        for position, action in enumerate(definition.actions):
            yield ("alerting", "definitions", number, "actions", position), definition.alert_id, action


def _unknown_keys(action: Action, path: Path) -> Iterator[Finding]:
    known = _KEYS[action.type]
    for key in action.config.model_dump(exclude_none=True) if action.config else ():
        if key not in known:
            yield Finding((*path, key), "", "expected a known key", nearest(key, known))


def _shield_settings(action: Action, path: Path) -> Iterator[Finding]:
    try:
        ShieldActionSettings.model_validate(action.config.model_dump(exclude_none=True) if action.config else {})
    except ValidationError as error:
        for finding in findings(error, ShieldActionSettings):
            yield replace(finding, path=(*path, *finding.path))
