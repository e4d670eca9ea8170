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

    Definitions that name applications (or else detectors) in full, or by how they begin (`chat-*`), are found by those names. What was asked once is
    kept.
    """

    def __init__(self, definitions: Iterable[tuple[Definition, T]]) -> None:
        self._all = list(definitions)
        self._by_application, self._by_detector = _Names(), _Names()
        self._others: list[int] = []
        self._known: dict[tuple[str, str, str], tuple[T, ...]] = {}
        for number, (definition, _) in enumerate(self._all):
            if not (self._by_application.add(definition.application_ids, number) or self._by_detector.add(definition.detector_ids, number)):
                self._others.append(number)

    def by(self, detector_id: str, application_id: str, severity: str) -> tuple[T, ...]:
        """What belongs to the definitions whose filters such an anomaly passes, in the order of the configuration."""
        key = (detector_id, application_id, severity)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            numbers = {*self._by_application.of(application_id), *self._by_detector.of(detector_id), *self._others}
            found = self._known[key] = tuple(self._all[number][1] for number in sorted(numbers) if passes(self._all[number][0], *key))
        return found


class _Names:
    """Numbers by names in full, and by how names begin."""

    def __init__(self) -> None:
        self._full: dict[str, list[int]] = {}
        self._begins: dict[str, list[int]] = {}

    def add(self, patterns: tuple[str, ...], number: int) -> bool:
        """Take the number in under all its patterns; False, and nothing taken in, when there is none or one that is neither."""
        if not patterns or any(_GLOB.intersection(pattern.removesuffix("*")) for pattern in patterns):
            return False
        for pattern in patterns:
            names = self._begins if pattern.endswith("*") else self._full
            names.setdefault(pattern.removesuffix("*"), []).append(number)
        return True

    def of(self, name: str) -> list[int]:
        """Numbers of the patterns that fit."""
        found = list(self._full.get(name, ()))
        if self._begins:
            for end in range(len(name) + 1):
                found += self._begins.get(name[:end], ())
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
