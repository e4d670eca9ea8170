"""Which alert definitions an anomaly can concern, without asking every definition about every anomaly."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from sentinel.config.definition_triggers import PREFIX
from sentinel.config.runtime import Definition

T = TypeVar("T")
_CACHE_LIMIT = 20_000
_GLOB = frozenset("*?[")


class Concerned(Generic[T]):
    """Definitions by their filters, apart from the score; each with something to give for it.

    Definitions that name applications (or else detectors) in full are found by those names. What was asked once is kept.
    """

    def __init__(self, definitions: Iterable[tuple[Definition, T]]) -> None:
        self._all = list(definitions)
        self._by_application: dict[str, list[int]] = {}
        self._by_detector: dict[str, list[int]] = {}
        self._others: list[int] = []
        self._known: dict[tuple[str, str, str], tuple[T, ...]] = {}
        for number, (definition, _) in enumerate(self._all):
            if _literal(definition.application_ids):
                for name in dict.fromkeys(definition.application_ids):
                    self._by_application.setdefault(name, []).append(number)
            elif _literal(definition.detector_ids):
                for name in dict.fromkeys(definition.detector_ids):
                    self._by_detector.setdefault(name, []).append(number)
            else:
                self._others.append(number)

    def by(self, detector_id: str, application_id: str, severity: str) -> tuple[T, ...]:
        """What belongs to the definitions whose filters such an anomaly passes, in the order of the configuration."""
        key = (detector_id, application_id, severity)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            candidates = [*self._by_application.get(application_id, ()), *self._by_detector.get(detector_id, ()), *self._others]
            found = self._known[key] = tuple(self._all[number][1] for number in sorted(candidates) if passes(self._all[number][0], *key))
        return found


def passes(definition: Definition, detector_id: str, application_id: str, severity: str) -> bool:
    """Whether the filters let such an anomaly pass. Ids are globs (`*`, `?`, `[…]`); an empty filter lets everything pass."""
    if detector_id.startswith(PREFIX) and not definition.detector_ids:
        # Found for one definition alone.
        return False
    return (
        (not definition.severities or severity in definition.severities)
        and _any_glob(definition.detector_ids, detector_id)
        and _any_glob(definition.application_ids, application_id)
    )


def _any_glob(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def _literal(patterns: tuple[str, ...]) -> bool:
    return bool(patterns) and not any(_GLOB.intersection(pattern) for pattern in patterns)
