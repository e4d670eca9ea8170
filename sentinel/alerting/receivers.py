"""From the names on a route to those who are told, each for itself."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.config.runtime import RuntimeConfig


@dataclass(frozen=True, slots=True)
class Integration:
    """One way to tell one receiver.

    Attributes:
        name: as routes call it: the receiver, or the group of receivers that it belongs to.
        receiver: the receiver itself.
        index: its place in the group, or 0.
    """

    name: str
    receiver: str
    type: str
    index: int = 0
    send_resolved: bool = True


class Receivers:
    """All receivers of a configuration by the names that routes use."""

    def __init__(self, config: RuntimeConfig) -> None:
        known = {receiver.name: receiver for receiver in config.receivers}
        self._by_name: dict[str, tuple[Integration, ...]] = {
            receiver.name: (Integration(receiver.name, receiver.name, receiver.type, 0, receiver.send_resolved),)
            for receiver in config.receivers
        }
        for group in config.receiver_groups:
            members = [known[name] for name in group.receivers if name in known]
            self._by_name[group.name] = tuple(
                Integration(group.name, member.name, member.type, place, member.send_resolved) for place, member in enumerate(members)
            )

    def of(self, names: tuple[str, ...] | list[str]) -> list[Integration]:
        """The integrations of several names, in order; unknown names have none."""
        return [integration for name in dict.fromkeys(names) for integration in self._by_name.get(name, ())]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name
