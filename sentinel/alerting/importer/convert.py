"""The whole document: routes, inhibition, times, receivers. What Alertmanager itself refuses is refused here too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sentinel.alerting.importer.matchers import matcher_text, read_matchers
from sentinel.alerting.importer.receivers import ImportedReceivers, import_receivers, unused_defaults
from sentinel.config.errors import ConfigError, Problem, nearest

_ROUTE_KEYS = frozenset(
    {"receiver", "group_by", "group_wait", "group_interval", "repeat_interval", "match", "match_re", "matchers", "continue", "routes"}
    | {"mute_time_intervals", "active_time_intervals"}
)
_TOP = frozenset({"global", "route", "inhibit_rules", "receivers", "time_intervals", "mute_time_intervals", "templates"})
_TIMINGS = {"group_wait": "groupWait", "group_interval": "groupInterval", "repeat_interval": "repeatInterval"}
_TIME_KEYS = ("times", "weekdays", "days_of_month", "months", "years", "location")


@dataclass
class Imported:
    """Our configuration document, what could not be converted, and the environment variables that have to hold the secrets (where it is not plain,
    with the form that they have)."""

    document: dict[str, Any]
    notes: list[str]
    secrets: list[str]
    receivers: ImportedReceivers


def is_alertmanager(document: dict[str, Any]) -> bool:
    """Whether a configuration document is Alertmanager's."""
    return "route" in document and "alerting" not in document


def import_alertmanager(document: dict[str, Any], source: str) -> Imported:
    """Convert a document.

    Raises:
        ConfigError: with everything that Alertmanager would refuse in routes, times, inhibition and receiver names.
    """
    return _Import(document, source).run()


class _Import:
    def __init__(self, document: dict[str, Any], source: str) -> None:
        self._document, self._source = document, source
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._receivers: list[str] = []
        self._intervals: list[str] = []

    def run(self) -> Imported:
        document = self._document
        defaults = self._mapping(document.get("global") or {}, "global")
        items = self._list(document.get("receivers"), "receivers")
        self._receivers = [str(item.get("name", "")) for item in items]
        self._refuse_doubles(self._receivers, "receivers")
        times = self._times()
        receivers = import_receivers(items, defaults)
        root = self._mapping(document.get("route"), "route")
        alerting = {
            "resolveTimeout": defaults.get("resolve_timeout", "5m"),
            "grouping": self._root(root),
            "routing": {"defaultReceiver": root.get("receiver"), "routes": self._routes(root, "route")},
            "receivers": receivers.receivers,
            "receiverGroups": receivers.groups,
            "timeIntervals": times,
            "inhibitRules": [
                self._inhibit(self._mapping(item, f"inhibit_rules[{place}]"), f"inhibit_rules[{place}]")
                for place, item in enumerate(self._list(document.get("inhibit_rules"), "inhibit_rules"))
            ],
        }
        if document.get("templates"):
            self._notes.append("templates: message templates are Go's; ours are written with the definitions")
        self._notes += [f"{key}: has no counterpart" for key in document if key not in _TOP]
        self._notes += [f"global.{key}: has no counterpart" for key in unused_defaults(defaults)]
        if self._problems:
            raise ConfigError(self._problems)
        return Imported({"version": "v1", "alerting": alerting}, self._notes + receivers.notes, receivers.secrets, receivers)

    def _root(self, root: dict[str, Any]) -> dict[str, Any]:
        if not root.get("receiver"):
            self._problem("route.receiver", "expected a receiver on the root route")
        else:
            self._known(str(root["receiver"]), self._receivers, "route.receiver", "a receiver that is defined")
        for key in ("match", "match_re", "matchers", "continue", "mute_time_intervals", "active_time_intervals"):
            if root.get(key):
                self._problem(f"route.{key}", f"expected a root route without {key}")
        self._unknown(root, "route")
        grouping: dict[str, Any] = {
            "groupBy": self._group_by(root, "route") or [],
            "groupWait": "30s",
            "groupInterval": "5m",
            "repeatInterval": "4h",
        }
        return grouping | {target: root[key] for key, target in _TIMINGS.items() if root.get(key) is not None}

    def _routes(self, parent: dict[str, Any], place: str) -> list[dict[str, Any]]:
        items = self._list(parent.get("routes"), f"{place}.routes")
        return [self._route(item, f"{place}.routes[{number}]") for number, item in enumerate(items)]

    def _route(self, item: dict[str, Any], place: str) -> dict[str, Any]:
        route: dict[str, Any] = {"matchers": self._matchers(item, "match", "match_re", "matchers", place)}
        if item.get("receiver"):
            self._known(str(item["receiver"]), self._receivers, f"{place}.receiver", "a receiver that is defined")
            route["receivers"] = [str(item["receiver"])]
        if (group_by := self._group_by(item, place)) is not None:
            route["groupBy"] = group_by
        route |= {target: item[key] for key, target in _TIMINGS.items() if item.get(key) is not None}
        if item.get("continue"):
            route["continue"] = True
        for key, target in (("mute_time_intervals", "muteTimeIntervals"), ("active_time_intervals", "activeTimeIntervals")):
            names = [str(name) for name in item.get(key) or []]
            for name in names:
                self._known(name, self._intervals, f"{place}.{key}", "a time interval that is defined")
            if names:
                route[target] = names
        self._unknown(item, place)
        if item.get("routes"):
            route["routes"] = self._routes(item, place)
        return route

    def _group_by(self, item: dict[str, Any], place: str) -> list[str] | None:
        value = item.get("group_by")
        if value is None:
            return None
        names = [str(name) for name in value]
        if "..." in names and len(names) > 1:
            self._problem(f"{place}.group_by", "expected '...' alone, found other labels beside it")
        self._refuse_doubles(names, f"{place}.group_by")
        return names

    def _inhibit(self, item: dict[str, Any], place: str) -> dict[str, Any]:
        rule = {
            "sourceMatchers": self._matchers(item, "source_match", "source_match_re", "source_matchers", place),
            "targetMatchers": self._matchers(item, "target_match", "target_match_re", "target_matchers", place),
            "equal": [str(name) for name in item.get("equal") or []],
        }
        known = {f"{side}_{kind}" for side in ("source", "target") for kind in ("match", "match_re", "matchers")} | {"equal", "name"}
        self._notes += [f"{place}.{key}: has no counterpart" for key in item if key not in known]
        return rule | ({"name": str(item["name"])} if item.get("name") else {})

    def _matchers(self, item: dict[str, Any], equal: str, regex: str, texts: str, place: str) -> list[str]:
        found = [(str(label), "=", str(value)) for label, value in (item.get(equal) or {}).items()]
        found += [(str(label), "=~", str(value)) for label, value in (item.get(regex) or {}).items()]
        written = item.get(texts) or []
        for text in [written] if isinstance(written, str) else written:
            try:
                found += read_matchers(str(text))
            except ValueError as error:
                self._problem(f"{place}.{texts}", str(error))
        return [matcher_text(*matcher) for matcher in found]

    def _times(self) -> list[dict[str, Any]]:
        result = []
        for key in ("mute_time_intervals", "time_intervals"):
            for number, item in enumerate(self._list(self._document.get(key), key)):
                self._intervals.append(str(item.get("name", "")))
                ranges = [self._time_range(entry or {}, f"{key}[{number}]") for entry in item.get("time_intervals") or []]
                result.append({"name": self._intervals[-1], "timeIntervals": ranges})
        self._refuse_doubles(self._intervals, "time intervals")
        return result

    def _time_range(self, entry: dict[str, Any], place: str) -> dict[str, Any]:
        self._notes += [f"{place}.{key}: has no counterpart" for key in entry if key not in _TIME_KEYS]
        names = {"days_of_month": "daysOfMonth"}
        taken = {names.get(key, key): entry[key] for key in _TIME_KEYS if entry.get(key)}
        if "times" in taken:
            taken["times"] = [{"startTime": str(part.get("start_time")), "endTime": str(part.get("end_time"))} for part in taken["times"]]
        return taken

    def _unknown(self, item: dict[str, Any], place: str) -> None:
        self._notes += [f"{place}.{key}: has no counterpart" for key in item if key not in _ROUTE_KEYS]

    def _known(self, name: str, names: list[str], place: str, what: str) -> None:
        if name not in names:
            self._problems.append(Problem(self._source, place, f'"{name}"', f"expected {what}", nearest(name, names)))

    def _refuse_doubles(self, names: list[str], place: str) -> None:
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._problem(place, f"expected each name once, found {name!r} twice")

    def _problem(self, place: str, expected: str) -> None:
        self._problems.append(Problem(self._source, place, "", expected))

    def _mapping(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._problem(place, "expected a mapping")
        return {}

    def _list(self, value: Any, place: str) -> list[dict[str, Any]]:
        if value is None:
            return []
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        self._problem(place, "expected a list of mappings")
        return []
