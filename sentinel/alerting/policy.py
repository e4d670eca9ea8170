"""The alerting part of one configuration version, compiled once and then used for every anomaly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sentinel.alerting.labels import canonical, labels_of
from sentinel.alerting.routing import RouteNode, build_tree, direct_route, group_names
from sentinel.alerting.schedule import ActiveHours
from sentinel.alerting.templates import MessageTemplate
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import Definition, RuntimeConfig

DEFAULT_DEFINITION = Definition(
    id="default",
    name="anomaly",
    description="Every anomaly of severity warning or critical; in force while the configuration has no alert definitions.",
    trigger="anomaly",
    severities=("warning", "critical"),
)

_ROUTE_CACHE_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver on one route, with the timing of the route in milliseconds."""

    receiver: str
    group_by: tuple[str, ...]
    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int


def targets_of(nodes: Iterable[RouteNode], config: RuntimeConfig) -> list[Target]:
    """The receivers of routes; one that several routes name counts once, by its first route and `group_by`."""
    groups = {group.name: group.receivers for group in config.receiver_groups}
    found: dict[tuple[str, tuple[str, ...]], Target] = {}
    for node in nodes:
        names = group_names(node.group_by, config)
        for receiver in (member for name in node.receivers for member in groups.get(name, (name,))):
            target = Target(receiver, names, node.group_wait_ms, node.group_interval_ms, node.repeat_interval_ms)
            found.setdefault((receiver, names), target)
    return list(found.values())


class CompiledDefinition:
    """An alert definition with what is derived from it; times in milliseconds."""

    def __init__(self, definition: Definition, config: RuntimeConfig, root: RouteNode) -> None:
        actions = [action.config for action in definition.actions if action.type == "notification"]
        self.source = definition
        self.labels: dict[str, str] = {
            canonical(str(name)): str(value) for action in actions for name, value in dict(action.get("labels") or {}).items()
        }
        self.group_by = None if definition.grouping is None else group_names(definition.grouping, config)
        self.targets = tuple(targets_of([direct_route(root, definition.id, definition.receivers)], config))
        asks = config.incident_auto_create or any(action.type == "incident" for action in definition.actions)
        incidents = tuple(receiver.name for receiver in config.receivers if receiver.type == "incident") if asks else ()
        self.incident_targets = tuple(targets_of([direct_route(root, definition.id, incidents)], config))
        self.max_frequency_ms = round((definition.max_frequency_s or 0) * 1000)
        self.window_ms = None if definition.aggregation_window_s is None else round(definition.aggregation_window_s * 1000)
        self.active_hours = None if definition.schedule is None else ActiveHours(definition.schedule)
        self.template = MessageTemplate.of_actions(actions)


class Policy:
    """Definitions, routes and receivers of one configuration version, ready for use.

    Raises:
        ValueError: when a matcher, a template or a time zone of the configuration is not valid.
    """

    def __init__(self, config: RuntimeConfig) -> None:
        definitions = config.definitions or (DEFAULT_DEFINITION,)
        self.version = config.version
        self._tree = build_tree(config)
        self.definitions = {definition.id: CompiledDefinition(definition, config, self._tree) for definition in definitions}
        self.receivers = {receiver.name: receiver for receiver in config.receivers}
        self.resolve_timeout_ms = round(config.resolve_timeout_s * 1000)
        self.external_url = config.external_url.rstrip("/")
        self._config = config
        self._unknown: dict[str, CompiledDefinition] = {}
        self._group_by = group_names(config.grouping.group_by, config)
        self._alertnames = {
            detector.id: action.alert for detector in config.detectors for action in reversed(detector.actions) if action.alert
        }
        self._routes: dict[tuple[str, tuple[tuple[str, str], ...]], list[Target]] = {}

    def unknown_definition(self, definition_id: str) -> CompiledDefinition:
        """A stand-in for a definition that this version does not have, to end alerts of definitions that were removed."""
        if definition_id not in self._unknown:
            stand_in = Definition(id=definition_id, name=definition_id, description="", trigger="anomaly")
            self._unknown[definition_id] = CompiledDefinition(stand_in, self._config, self._tree)
        return self._unknown[definition_id]

    def labels(self, anomaly: Anomaly, definition: CompiledDefinition, group_by: tuple[str, ...] = ()) -> dict[str, str]:
        """Labels of the anomaly under the definition; `alertname` is what the detector's action names, else the definition's name."""
        alertname = self._alertnames.get(anomaly.detector_id) or definition.source.name
        return labels_of(anomaly, alertname, definition.labels, group_by)

    def targets(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[Target]:
        """Where an alert with these labels goes: to the receivers that the definition names, else through the routing tree; beside them
        to the Incident Manager when it is to be told."""
        chosen = list(definition.targets) or self._routed(definition, labels)
        named = {target.receiver for target in chosen}
        return chosen + [target for target in definition.incident_targets if target.receiver not in named]

    def _routed(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[Target]:
        key = (definition.source.id, tuple(labels.items()))
        found = self._routes.get(key)
        if found is None:
            if len(self._routes) >= _ROUTE_CACHE_LIMIT:
                self._routes.clear()
            found = self._routes[key] = targets_of(self._tree.resolve(labels), self._config)
        return found

    def groupings(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
        """Label names to group by: the definition's own, else those of each route that matches, else the general ones."""
        if definition.group_by is not None:
            return [definition.group_by]
        return list(dict.fromkeys(target.group_by for target in self.targets(definition, labels))) or [self._group_by]


_recent: list[tuple[RuntimeConfig, Policy]] = []


def policy_of(config: RuntimeConfig) -> Policy:
    """The compiled policy of a configuration. The last few are kept, by object, since a worker asks for every record."""
    for source, policy in _recent:
        if source is config:
            return policy
    policy = Policy(config)
    _recent.insert(0, (config, policy))
    del _recent[4:]
    return policy
