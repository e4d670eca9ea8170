"""Why somebody is not told: inhibition, times, silences, maintenance windows, suppression rules, snoozes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from sentinel.alerting.alerts import Alert
from sentinel.alerting.intervals import Intervals, Window
from sentinel.alerting.labels import Predicate, compile_all, fingerprint, value_of
from sentinel.alerting.routing import RouteNode
from sentinel.config.matchers import parse_matcher
from sentinel.config.runtime import InhibitRule, Matcher, RuntimeConfig


class Silence(msgspec.Struct, array_like=True):
    """Alerts that match are not told from `starts_at` up to `ends_at` (epoch milliseconds)."""

    id: str
    matchers: list[str]
    starts_at: int
    ends_at: int
    created_by: str = ""
    comment: str = ""


class Silences:
    """Silences by id. A known id with other matchers is a new silence in its place."""

    def __init__(self, silences: Iterable[Silence] = ()) -> None:
        self._silences: dict[str, tuple[Silence, Predicate]] = {}
        for silence in silences:
            self.set(silence)

    def set(self, silence: Silence) -> None:
        """Put a silence in force.

        Raises:
            ValueError: a matcher that is none; matchers that would match everything; an end before the start.
        """
        matchers = [Matcher(*parse_matcher(text)) for text in silence.matchers]  # type: ignore[arg-type]
        if not any(not compile_all([matcher])({}) for matcher in matchers):
            raise ValueError("silence: expected at least one matcher that does not match the empty value")
        if silence.ends_at < silence.starts_at:
            raise ValueError("silence: expected an end after the start")
        self._silences[silence.id] = (silence, compile_all(matchers))

    def expire(self, name: str, now: int) -> bool:
        """End a silence now; whether it was in force. Doing it twice is no error."""
        known = self._silences.get(name)
        if known is None or known[0].ends_at <= now:
            return False
        silence = known[0]
        silence.ends_at = now
        silence.starts_at = min(silence.starts_at, now)
        return True

    def silencing(self, labels: Mapping[str, str], now: int) -> str | None:
        """Id of a silence that covers the labels."""
        for silence, matches in self._silences.values():
            if silence.starts_at <= now < silence.ends_at and matches(labels):
                return silence.id
        return None

    def may_cover(self, labels: Mapping[str, str], now: int) -> bool:
        """Whether a silence covers the labels, or will."""
        return any(now < silence.ends_at and matches(labels) for silence, matches in self._silences.values())

    def drop_expired(self, before: int) -> None:
        """Forget silences that ended before the instant."""
        self._silences = {name: pair for name, pair in self._silences.items() if pair[0].ends_at > before}

    def all(self) -> list[Silence]:
        """Every silence, in order of creation."""
        return [silence for silence, _ in self._silences.values()]

    def __len__(self) -> int:
        return len(self._silences)


class Inhibitor:
    """Which firing alerts hold back others. Looks at every source that fires, not only at the one that would end last."""

    def __init__(self, rules: Iterable[InhibitRule]) -> None:
        self._rules = [(rule, compile_all(rule.source), compile_all(rule.target)) for rule in rules]
        self._sources: list[dict[tuple[str, ...], dict[str, Alert]]] = [{} for _ in self._rules]

    def is_source(self, labels: Mapping[str, str]) -> bool:
        """Whether any rule has such alerts as source."""
        return any(source(labels) for _, source, _ in self._rules)

    def learn(self, alert: Alert) -> bool:
        """Take in a report of an alert, firing or over; whether it is one that did not fire when the report begins."""
        news, name = False, fingerprint(alert.labels)
        for (rule, source, _), sources in zip(self._rules, self._sources, strict=True):
            if source(alert.labels):
                of_labels = sources.setdefault(_equal(rule, alert.labels), {})
                known = of_labels.get(name)
                news = news or known is None or known.resolved(alert.starts_at)
                of_labels[name] = alert
        return news

    def forget_ended(self, now: int) -> None:
        """Let go of sources that are over."""
        for sources in self._sources:
            for key in list(sources):
                sources[key] = {name: alert for name, alert in sources[key].items() if not alert.resolved(now)}
                if not sources[key]:
                    del sources[key]

    def inhibiting(self, labels: Mapping[str, str], now: int) -> str | None:
        """Name of a rule that holds the labels back. An alert that matches both sides is not held back by another such alert."""
        for (rule, source, target), sources in zip(self._rules, self._sources, strict=True):
            if not sources or not target(labels):
                continue
            on_both_sides = source(labels)
            for alert in sources.get(_equal(rule, labels), {}).values():
                if not alert.resolved(now) and not (on_both_sides and target(alert.labels)):
                    return rule.name
        return None


def _equal(rule: InhibitRule, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(value_of(labels, name) for name in rule.equal)


class Mutes:
    """Everything that can hold a message back, compiled from a configuration."""

    def __init__(self, config: RuntimeConfig, silences: Silences | None = None, inhibitor: Inhibitor | None = None) -> None:
        self.silences = Silences() if silences is None else silences
        self.inhibitor = Inhibitor(config.inhibit_rules) if inhibitor is None else inhibitor
        self._intervals = Intervals(config.time_intervals)
        self._windows = [(Window(window), compile_all(window.matchers)) for window in config.maintenance_windows]
        self._rules = [(rule, compile_all(rule.matchers)) for rule in config.suppression_rules]

    def of_route(self, route: RouteNode, now: int) -> str | None:
        """Why the route tells nobody now: outside its active intervals, or inside a mute interval."""
        if route.active_intervals and not self._intervals.containing(route.active_intervals, now):
            return f"outside active time {', '.join(route.active_intervals)}"
        if muting := self._intervals.containing(route.mute_intervals, now):
            return f"mute time {muting[0]}"
        return None

    def of_alert(self, alert: Alert, now: int) -> str | None:
        """Why nobody is told of this alert now."""
        labels = alert.labels
        if (rule := self.inhibitor.inhibiting(labels, now)) is not None:
            return f"inhibited by rule {rule}"
        if (silence := self.silences.silencing(labels, now)) is not None:
            return f"silence {silence}"
        if (window := self.maintaining(labels, now)) is not None:
            return window
        for suppression, matches in self._rules:
            if matches(labels) and (not suppression.active_intervals or self._intervals.containing(suppression.active_intervals, now)):
                return f"suppression rule {suppression.name}"
        return "snoozed" if now < alert.snoozed_until else None

    @property
    def maintains(self) -> bool:
        """Whether there are maintenance windows at all."""
        return bool(self._windows)

    def maintaining(self, labels: Mapping[str, str], now: int) -> str | None:
        """A maintenance window that is open for the labels."""
        for window, matches in self._windows:
            if matches(labels) and window.is_open(now):
                return f"maintenance window {window.name}"
        return None

    def next_maintenance(self, now: int) -> int | None:
        """When a maintenance window opens or closes next (or is to be asked again); None without any."""
        return min((window.next_change(now) for window, _ in self._windows), default=None)

    def may_change(self, route: RouteNode, alert: Alert, now: int) -> bool:
        """Whether time alone can hold the alert back or let it go: a silence that is known, a window, an interval, a snooze. For what is covered
        by nothing now; new silences and new sources of inhibition are news."""
        labels = alert.labels
        return (
            bool(route.active_intervals or route.mute_intervals)
            or now < alert.snoozed_until
            or self.silences.may_cover(labels, now)
            or any(matches(labels) for _, matches in self._windows)
            or any(rule.active_intervals and matches(labels) for rule, matches in self._rules)
        )
