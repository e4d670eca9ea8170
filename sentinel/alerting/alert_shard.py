"""The alerts of one shard: which are due when, and what outside concerns them.

An alert wakes only when something of it is due. What is in force around it (configuration, silences, inhibition) is looked at each time that the
shard is called, and wakes the alerts that it concerns.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable

from sentinel.alerting.control import Answer, Control
from sentinel.alerting.group import AlertGroup
from sentinel.alerting.inhibition import TenantMutes
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.records import Output
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig

HOT = 512
"""Alerts of a shard that are kept as objects beside their bytes (some 10 kB against 1 kB). Those that were changed and not yet written come on top."""


class AlertShard:
    """Alerts by the text of their key. Times are epoch milliseconds of processing time.

    Args:
        states: key text and bytes of every alert, as `written` gave them.
        running_since_ms: as for `AlertGroup.from_state`.

    Attributes:
        wakes: how often an alert was woken because something was due.
    """

    def __init__(
        self, states: Iterable[tuple[str, bytes]], config: RuntimeConfig, mutes: TenantMutes, running_since_ms: int, now_ms: int
    ) -> None:
        self._states = dict(states)
        self._config, self._mutes, self._serial = config, mutes, mutes.serial
        self._running_since = running_since_ms
        self._hot: OrderedDict[str, AlertGroup] = OrderedDict()
        self._due: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        self._queued: dict[str, int] = {}
        self._changed: dict[str, AlertGroup] = {}
        self.wakes = 0
        # Nobody watched what is around the alerts while there was no shard.
        self._wake(list(self._states), now_ms)

    def __len__(self) -> int:
        return len(self._states)

    def look_around(self, config: RuntimeConfig, mutes: TenantMutes, now_ms: int) -> None:
        """Take what is in force now; alerts that it may concern look again at their next tick."""
        if config is not self._config or mutes is not self._mutes:
            self._config, self._mutes = config, mutes
            concerned = list(self._states)
        else:
            tenants = set(mutes.changed_since(self._serial))
            concerned = [text for text in self._states if AlertKey.from_text(text).tenant_id in tenants] if tenants else []
        self._serial = mutes.serial
        self._wake(concerned, now_ms)

    def on_anomaly(self, key: str, anomaly: Anomaly, now_ms: int) -> list[Output]:
        """As `AlertGroup.on_anomaly`, for the alert of that key."""
        group = self._group(key)
        outputs = group.on_anomaly(anomaly, now_ms)
        self._keep(key, group)
        return outputs

    def on_control(self, key: str, control: Control, now_ms: int) -> tuple[Answer, list[Output]]:
        """As `AlertGroup.on_control`, for the alert of that key."""
        group = self._group(key)
        answer, outputs = group.on_control(control, now_ms)
        self._keep(key, group)
        return answer, outputs

    def on_time(self, now_ms: int) -> list[Output]:
        """Wake every alert of which something is due by now, in the order of the due times."""
        outputs: list[Output] = []
        while self._queue and self._queue[0][0] <= now_ms:
            at, key = heapq.heappop(self._queue)
            if self._queued.get(key) != at:
                continue
            del self._queued[key]
            due = self._due.get(key)
            if due is not None and due <= now_ms:
                self.wakes += 1
                group = self._group(key)
                outputs += group.on_timer(now_ms)
                self._keep(key, group)
            elif due is not None:
                # It was put off since, by a further anomaly for example.
                self._enqueue(key, due)
        return outputs

    def next_timer(self) -> int | None:
        """When `on_time` is wanted at the latest, or None. It may be earlier than the first due time, never later."""
        return self._queue[0][0] if self._queue else None

    def written(self) -> dict[str, bytes]:
        """What the calls since the last `written` changed: key text and bytes to keep; no bytes: to be forgotten."""
        written: dict[str, bytes] = {}
        for key, group in self._changed.items():
            state, before = group.to_state(), self._states.pop(key, b"")
            if state:
                self._states[key] = state
            else:
                self._hot.pop(key, None)
            if state != before:
                written[key] = state
        self._changed = {}
        return written

    def _group(self, key: str) -> AlertGroup:
        group = self._hot.get(key) or self._changed.get(key)
        if group is not None:
            group.adopt(self._config, self._mutes.of(group.key.tenant_id))
        else:
            known = AlertKey.from_text(key)
            group = AlertGroup.from_state(known, self._states.get(key), self._config, self._running_since, self._mutes.of(known.tenant_id))
        self._hot[key] = group
        self._hot.move_to_end(key)
        if len(self._hot) > HOT:
            self._hot.popitem(last=False)
        return group

    def _keep(self, key: str, group: AlertGroup) -> None:
        self._changed[key] = group
        # Counted from now on, written later.
        self._states.setdefault(key, b"")
        due = None if group.is_forgotten() else group.next_timer()
        if due is None:
            self._due.pop(key, None)
        else:
            self._due[key] = due
            self._enqueue(key, due)

    def _enqueue(self, key: str, due: int) -> None:
        if due < self._queued.get(key, due + 1):
            self._queued[key] = due
            heapq.heappush(self._queue, (due, key))

    def _wake(self, keys: list[str], now_ms: int) -> None:
        for key in keys:
            group = self._group(key)
            group.wake(now_ms)
            self._keep(key, group)
