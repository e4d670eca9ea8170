"""The alerting part of one configuration version, compiled once and then used for every anomaly."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.alerting.concern import Concerned
from sentinel.alerting.labels import OPTIONAL, canonical, labels_of
from sentinel.alerting.muting import Mutes
from sentinel.alerting.receivers import Receivers
from sentinel.alerting.routing import RouteNode, build_tree, direct_route, group_names
from sentinel.alerting.schedule import ActiveHours
from sentinel.alerting.template_names import SHOWN_OF_ANOMALY
from sentinel.alerting.templates import MAX_TEXT, MessageTemplate, Template, cut
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import Definition, RuntimeConfig

DEFAULT_DEFINITION = Definition(
    id="default",
    name="anomaly",
    description="Every anomaly of severity warning or critical; in force while the configuration has no alert definitions.",
    trigger="anomaly",
    severities=("warning", "critical"),
)

MAX_LABEL = 200
_ROUTE_CACHE_LIMIT = 20_000


class CompiledDefinition:
    """An alert definition with what is derived from it; times in milliseconds."""

    def __init__(self, definition: Definition, config: RuntimeConfig, root: RouteNode) -> None:
        actions = [action.config for action in definition.actions if action.type == "notification"]
        self.source = definition
        self.labels: dict[str, str] = {
            canonical(str(name)): str(value) for action in actions for name, value in dict(action.get("labels") or {}).items()
        }
        self._templates = {name: Template(source, MAX_LABEL) for name, source in definition.labels.items()}
        self.has_templates = bool(self._templates)
        self._annotations = {name: Template(source, MAX_TEXT) for name, source in definition.annotations.items()}
        self.priority = next((str(action["priority"]) for action in actions if action.get("priority")), "")
        self.group_by = None if definition.grouping is None else group_names(definition.grouping, config)
        self.direct = direct_route(root, definition.id, definition.receivers, definition.escalation) if definition.receivers else None
        asks = config.incident_auto_create or any(action.type == "incident" for action in definition.actions)
        named = definition.named_by("incident")
        incidents = tuple(r.name for r in config.receivers if r.type == "incident" and (not named or r.name in named)) if asks else ()
        webhooks = definition.named_by("webhook")
        self.beside = tuple(
            direct_route(root, f"{definition.id} {what}", names)
            for what, names in (("incident", incidents), ("webhook", webhooks))
            if names
        )
        self.max_frequency_ms = round((definition.max_frequency_s or 0) * 1000)
        self.cap, self.cap_window_ms = definition.max_notifications, round(definition.notifications_window_s * 1000)
        self.window_ms = None if definition.aggregation_window_s is None else round(definition.aggregation_window_s * 1000)
        self.active_hours = None if definition.schedule is None else ActiveHours(definition.schedule)
        self.template = MessageTemplate.of_actions(actions)

    def labels_for(self, anomaly: Anomaly) -> dict[str, str]:
        """Labels that the definition sets, its templates filled in."""
        if not self._templates:
            return self.labels
        return self.labels | {canonical(name): text for name, text in _rendered(self._templates, anomaly).items() if text}

    def annotations_for(self, anomaly: Anomaly) -> dict[str, str]:
        """Annotations that the definition adds."""
        return _rendered(self._annotations, anomaly) if self._annotations else {}


def _rendered(templates: dict[str, Template], anomaly: Anomaly) -> dict[str, str]:
    """The texts. A template that fails on these values says so in its place."""
    values = {name: getattr(anomaly, name) for name in SHOWN_OF_ANOMALY} | {"metrics": anomaly.metrics, "labels": anomaly.labels}
    found = {}
    for name, template in templates.items():
        try:
            found[name] = template.render({"anomaly": cut(values), "labels": cut(anomaly.labels)})
        except ValueError as error:
            found[name] = str(error)
    return found


class Policy:
    """Definitions, routes and receivers of one configuration version, ready for use.

    Raises:
        ValueError: when a matcher, a template or a time zone of the configuration is not valid.
    """

    def __init__(self, config: RuntimeConfig) -> None:
        definitions = config.definitions or (DEFAULT_DEFINITION,)
        self.version = config.version
        self.root = build_tree(config)
        self.definitions = {definition.id: CompiledDefinition(definition, config, self.root) for definition in definitions}
        self.concerned = Concerned((definition.source, definition) for definition in self.definitions.values())
        self.by_id = {route.id: route for route in self.root.walk()}
        self.receivers = Receivers(config)
        self.mutes = Mutes(config)
        self.escalations = {policy.name: policy for policy in config.escalations}
        self.flap = config.flap
        self.resolve_timeout_ms = round(config.resolve_timeout_s * 1000)
        self.external_url = config.external_url.rstrip("/")
        self._config = config
        self._unknown: dict[str, CompiledDefinition] = {}
        self._alertnames = {
            detector.id: action.alert for detector in config.detectors for action in reversed(detector.actions) if action.alert
        }
        self._labels: dict[tuple[str, ...], dict[str, str]] = {}
        self._routes: dict[tuple[str, tuple[tuple[str, str], ...]], list[RouteNode]] = {}

    def unknown_definition(self, definition_id: str) -> CompiledDefinition:
        """A stand-in for a definition that this version does not have, to end alerts of definitions that were removed."""
        if definition_id not in self._unknown:
            stand_in = Definition(id=definition_id, name=definition_id, description="", trigger="anomaly")
            self._unknown[definition_id] = CompiledDefinition(stand_in, self._config, self.root)
        return self._unknown[definition_id]

    def labels(self, anomaly: Anomaly, definition: CompiledDefinition, group_by: tuple[str, ...] = ()) -> dict[str, str]:
        """Labels of the anomaly under the definition; `alertname` is what the detector's action names, else the definition's name. Not to be changed:
        anomalies that are alike share them."""
        if anomaly.labels or definition.has_templates or not OPTIONAL.isdisjoint(group_by):
            return self._labels_of(anomaly, definition, group_by)
        # What the labels are made of.
        key = (
            definition.source.id,
            anomaly.tenant_id,
            anomaly.application_id,
            anomaly.detector_id,
            anomaly.severity,
            anomaly.model,
            anomaly.metric,
        )
        found = self._labels.get(key)
        if found is None:
            if len(self._labels) >= _ROUTE_CACHE_LIMIT:
                self._labels.clear()
            found = self._labels[key] = self._labels_of(anomaly, definition, ())
        return found

    def _labels_of(self, anomaly: Anomaly, definition: CompiledDefinition, group_by: tuple[str, ...]) -> dict[str, str]:
        alertname = self._alertnames.get(anomaly.detector_id) or definition.source.name
        return labels_of(anomaly, alertname, definition.labels_for(anomaly), group_by, definition.source.severity or anomaly.severity)

    def routes(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[RouteNode]:
        """Where an alert with these labels goes: to the receivers that the definition names, else through the routing tree, unless its actions
        are others; beside them to its webhooks, and to the Incident Manager when it is to be told."""
        if not definition.source.notifies:
            return list(definition.beside)
        chosen = [definition.direct] if definition.direct is not None else self._routed(definition, labels)
        return [*chosen, *definition.beside]

    def _routed(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[RouteNode]:
        key = (definition.source.id, tuple(labels.items()))
        found = self._routes.get(key)
        if found is None:
            if len(self._routes) >= _ROUTE_CACHE_LIMIT:
                self._routes.clear()
            found = self._routes[key] = self.root.resolve(labels)
        return found

    def group_by(self, route: RouteNode) -> tuple[str, ...]:
        """Canonical names of the labels that the route groups by."""
        return group_names(route.group_by, self._config)

    def groupings(self, definition: CompiledDefinition, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
        """Label names to group by: the definition's own, else those of each route that matches, else the general ones."""
        if definition.group_by is not None:
            return [definition.group_by]
        found = [self.group_by(route) for route in self.routes(definition, labels)]
        # Nobody is told, and there is an alert nevertheless: it is listed, and Shield may be asked.
        return list(dict.fromkeys(found)) or [self.group_by(self.root)]


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
