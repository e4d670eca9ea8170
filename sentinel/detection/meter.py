"""Which detector takes how long, looked at only while calls take too long: on some machines a look at the clock costs more than a detector."""

from __future__ import annotations

from sentinel.config.runtime import DetectorConfig

Spent = dict[str, tuple[float, DetectorConfig]]
"""Detector id → seconds and its configuration."""


class Meter:
    """Seconds of one call by application and detector."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], Spent] = {}

    def at(self, tenant_id: str, application_id: str) -> Spent:
        """Where the detectors of an application add what they take."""
        return self._spent.setdefault((tenant_id, application_id), {})

    def worst(self) -> tuple[DetectorConfig, str, str, float] | None:
        """The detector that took most of the call: itself, the tenant and application where it took most, and its seconds in all."""
        totals: dict[str, float] = {}
        for spent in self._spent.values():
            for name, (seconds, _) in spent.items():
                totals[name] = totals.get(name, 0.0) + seconds
        if not totals:
            return None
        name = max(totals, key=lambda candidate: (totals[candidate], candidate))
        where = max((key for key, spent in self._spent.items() if name in spent), key=lambda key: self._spent[key][name][0])
        return self._spent[where][name][1], *where, totals[name]


def add(spent: Spent, config: DetectorConfig, seconds: float) -> None:
    """Count seconds of a detector."""
    known, _ = spent.get(config.id, (0.0, config))
    spent[config.id] = (known + seconds, config)
