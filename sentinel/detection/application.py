"""All detectors of one application: its models' keys, the application as a whole, and its users."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from sentinel.config.runnable import BEHAVIOURAL
from sentinel.config.runtime import DetectorConfig
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.failures import too_slow
from sentinel.detection.lanes import Found, KeyLanes, share_windows
from sentinel.detection.metrics import merge_panes
from sentinel.detection.plan import Plan
from sentinel.detection.slots import RuleSlot, Slot
from sentinel.panes import Pane, UserPane

IDLE_MS = 24 * 3_600_000
"""A key without a pane for this long of event time is forgotten; what behavioural detectors know of people outlives weekends and holidays."""
BEHAVIOUR_IDLE_MS = 30 * IDLE_MS
Failed = Callable[[DetectorConfig, str, str, int, Exception], None]
"""Told of a detector that threw: detector, tenant, application, event time, exception."""


class ApplicationState:
    """The state of one tenant and application. Panes wait here until event time has passed them, then go second by second."""

    __slots__ = (
        "_failed",
        "_lanes",
        "application",
        "application_id",
        "facts",
        "last_ms",
        "models",
        "plan",
        "rules",
        "tenant_id",
        "timed",
        "user_waiting",
        "users",
        "waiting",
    )

    def __init__(self, tenant_id: str, application_id: str, plan: Plan, failed: Failed) -> None:
        self.tenant_id, self.application_id = tenant_id, application_id
        self.plan, self._failed = plan, failed
        self.last_ms = 0
        self.waiting: dict[int, list[Pane]] = {}
        self.user_waiting: dict[int, UserPane] = {}
        self.facts: dict[int, list[Fact]] = {}
        self.models: dict[str, list[Slot]] = {}
        # By model (None: the application as a whole), made when a pane comes; to be forgotten whenever a detector is replaced.
        self._lanes: dict[str | None, KeyLanes] = {}
        self.application: list[Slot] = self._slots("application", None)
        self.users: list[Slot] = self._slots("user", None)
        self.rules: list[RuleSlot] = self._rule_slots()
        self._find_timed()

    def _share_windows(self) -> None:
        self._lanes.clear()
        for slots in (self.application, *self.models.values()):
            share_windows(slot.detector for slot in slots)

    def _rule_slots(self) -> list[RuleSlot]:
        plan = self.plan
        return [RuleSlot(config, plan.make_rule(config)) for config in plan.at("rule", self.tenant_id, self.application_id, None)]

    def _slots(self, level: str, model: str | None) -> list[Slot]:
        plan = self.plan
        slots = [Slot(config, plan.make(config)) for config in plan.at(level, self.tenant_id, self.application_id, model)]
        share_windows(slot.detector for slot in slots)
        return slots

    def _find_timed(self) -> None:
        self.timed: list[Slot | RuleSlot] = [slot for slot in self.application if slot.config.strategy == "silence"]
        self.timed += [slot for slot in self.rules if slot.config.strategy == "cep"]

    @property
    def idle_ms(self) -> int:
        """How long it may be quiet before all of it is forgotten."""
        return BEHAVIOUR_IDLE_MS if any(slot.config.strategy in BEHAVIOURAL for slot in self.rules) else IDLE_MS

    @property
    def keys(self) -> int:
        return 1 + len(self.models)

    def next_timer(self) -> int | None:
        """The next event time at which something is due: a waiting pane's end or a detector's timer."""
        due = [pane.end_ms for panes in self.waiting.values() for pane in panes[:1]]
        due += [pane.end_ms for pane in self.user_waiting.values()]
        if self.facts:
            due += [start + FACT_WIDTH_MS for start in self.facts]
        due += [timer for slot in self.timed if (timer := slot.detector.next_timer()) is not None]
        return min(due) if due else None

    def advance(self, now_ms: int) -> list[Found]:
        """Everything that event time before `now_ms` makes due, in event-time order."""
        found: list[Found] = []
        waiting, user_waiting = self.waiting, self.user_waiting
        ready = [start for start, panes in waiting.items() if panes[0].end_ms <= now_ms] if waiting else []
        if self.facts:
            ready += [start for start in self.facts if start + FACT_WIDTH_MS <= now_ms and start not in waiting]
        ready_users = [start for start, pane in user_waiting.items() if pane.end_ms <= now_ms] if user_waiting else []
        if len(ready) > 1:
            ready.sort()
        for start in ready:
            panes = waiting.pop(start, [])
            self._seen(start)
            if self.timed:
                # A silence that ended with this pane must be noticed before it, however late the watermark came.
                self._on_time(start, found)
            before = len(found)
            if panes:
                self._on_second(panes, found)
            if self.rules:
                self._run_rules(start, panes, found, before)
            else:
                # Said for rules that have gone meanwhile: kept, it would stay due for ever.
                self.facts.pop(start, None)
        for start in sorted(ready_users):
            user_pane = user_waiting.pop(start)
            self._seen(start)
            for slot in self.users:
                self._run(slot, user_pane, found)
        if self.timed:
            self._on_time(now_ms, found)
        return found

    def _seen(self, start_ms: int) -> None:
        if self.last_ms and start_ms - self.last_ms > IDLE_MS:
            # Whether the sweep has already evicted the key depends on the watermark's steps; forgetting here as well makes it all one.
            self.models = {}
            self._lanes.clear()
            self.application = self._slots("application", None)
            self.users = self._slots("user", None)
            known = self.rules if start_ms - self.last_ms <= self.idle_ms else []
            kept = {slot.config.id: slot for slot in known if slot.config.strategy in BEHAVIOURAL}
            self.rules = [kept.get(slot.config.id, slot) for slot in self._rule_slots()]
            self._find_timed()
        self.last_ms = max(self.last_ms, start_ms)

    def open_model(self, model: str) -> list[Slot]:
        """Begin a key for a model."""
        slots = self.models[model] = self._slots("model", model)
        return slots

    def _on_second(self, panes: list[Pane], found: list[Found]) -> None:
        if len(panes) > 1:
            panes.sort(key=lambda pane: pane.model)
        for pane in panes:
            self._on_pane(pane.model, pane, found)
        if self.application:
            self._on_pane(None, panes[0] if len(panes) == 1 else merge_panes(panes), found)

    def _on_pane(self, model: str | None, pane: Pane, found: list[Found]) -> None:
        lanes = self._lanes.get(model)
        if lanes is None:
            slots = self.application if model is None else self.models.get(model) or self.open_model(model)
            lanes = self._lanes[model] = KeyLanes(slots)
        meter = self.plan.meter
        if meter is None:
            failures = lanes.on_pane(pane, model or "", found)
        else:
            failures = lanes.on_pane_metered(pane, model or "", found, meter.at(self.tenant_id, self.application_id))
        for slot, error in failures:
            self._start_afresh(slot, pane.start_ms, error)

    def _run(self, slot: Slot, pane: UserPane, found: list[Found]) -> None:
        try:
            detection = slot.detector.on_pane(pane)
        except Exception as error:
            self._start_afresh(slot, pane.start_ms, error)
            return
        if detection is not None:
            found.append((slot.config, "", detection))

    def _start_afresh(self, slot: Slot, start_ms: int, error: Exception) -> None:
        """One detector's fault must not stop the others: it starts afresh at this key, counted and reported."""
        slot.detector = self.plan.make(slot.config)
        self._share_windows()
        self._failed(slot.config, self.tenant_id, self.application_id, start_ms, error)

    def _run_rules(self, start_ms: int, panes: list[Pane], found: list[Found], before: int) -> None:
        """The rules with memory on one second, after the detectors on its panes: composites build on what these found, `found[before:]`."""
        facts: dict[str, list[Fact]] = {}
        for fact in self.facts.pop(start_ms, ()):
            facts.setdefault(fact.rule, []).append(fact)
        for slot in self.rules:
            names = [config.id for config, _, said in found[before:] if not said.edge] if slot.config.strategy == "composite" else []
            began = perf_counter()
            try:
                said = slot.detector.on_second(start_ms, panes, facts.get(slot.facts_of, []), names)
            except Exception as error:
                slot.detector = self.plan.make_rule(slot.config)
                self._failed(slot.config, self.tenant_id, self.application_id, start_ms, error)
                continue
            found += [(slot.config, detection.model, detection) for detection in said]
            if (slow := too_slow(perf_counter() - began, "one second of the application", self.plan.timeout_s)) is not None:
                self._failed(slot.config, self.tenant_id, self.application_id, start_ms, slow)

    def _on_time(self, now_ms: int, found: list[Found]) -> None:
        for slot in self.timed:
            try:
                while (detection := slot.detector.on_time(now_ms)) is not None:
                    found.append((slot.config, "", detection))
            except Exception as error:
                if isinstance(slot, RuleSlot):
                    slot.detector = self.plan.make_rule(slot.config)
                    self._failed(slot.config, self.tenant_id, self.application_id, now_ms, error)
                else:
                    self._start_afresh(slot, now_ms, error)

    def replan(self, plan: Plan) -> None:
        """Take over a new configuration: unchanged detectors keep their state, the others start afresh or go."""
        before = self.plan
        self.plan = plan

        def kept(slots: list[Slot], level: str, model: str | None) -> list[Slot]:
            old = {slot.config.id: slot for slot in slots if before.levels.get(slot.config.id) == plan.levels.get(slot.config.id)}
            return [
                Slot(config, old[config.id].detector)
                if config.id in old and same_learning(old[config.id].config, config)
                else Slot(config, plan.make(config))
                for config in plan.at(level, self.tenant_id, self.application_id, model)
            ]

        self.application = kept(self.application, "application", None)
        self.users = kept(self.users, "user", None)
        self.models = {model: kept(slots, "model", model) for model, slots in self.models.items()}
        self._share_windows()
        known = {slot.config.id: slot for slot in self.rules}
        self.rules = [
            RuleSlot(slot.config, known[slot.config.id].detector)
            if slot.config.id in known and same_learning(known[slot.config.id].config, slot.config)
            else slot
            for slot in self._rule_slots()
        ]
        self._find_timed()

    # -- state ----------------------------------------------------------------------------------------------------------------

    def to_state(self) -> list[Any]:
        def states(slots: list[Slot] | list[RuleSlot]) -> list[Any]:
            return [[slot.config.id, fingerprint(slot.config), slot.detector.to_state()] for slot in slots]

        return [
            self.tenant_id,
            self.application_id,
            self.last_ms,
            [pane for panes in self.waiting.values() for pane in panes],
            list(self.user_waiting.values()),
            states(self.application),
            states(self.users),
            {model: states(slots) for model, slots in self.models.items()},
            *([[fact for facts in self.facts.values() for fact in facts], states(self.rules)] if self.rules or self.facts else ()),
        ]

    def restore(self, state: list[Any], to_pane: Callable[[Any], Pane], to_user_pane: Callable[[Any], UserPane]) -> None:
        """Take over the fields of `to_state` after the two names; states of detectors that changed meanwhile are dropped."""
        self.last_ms, waiting, users_waiting, application, users, models, *rules = state
        for raw in waiting:
            pane = to_pane(raw)
            self.waiting.setdefault(pane.start_ms, []).append(pane)
        for raw in users_waiting:
            user_pane = to_user_pane(raw)
            self.user_waiting[user_pane.start_ms] = user_pane
        _restore(self.application, application)
        _restore(self.users, users)
        self._lanes.clear()
        for model, states in models.items():
            self.models[model] = self._slots("model", model)
            _restore(self.models[model], states)
        if rules:
            facts, rule_states = rules
            for raw in facts:
                fact = msgspec.convert(raw, Fact, strict=False)
                self.facts.setdefault(fact.start_ms, []).append(fact)
            _restore(self.rules, rule_states)
        self._find_timed()


def _restore(slots: list[Slot] | list[RuleSlot], states: list[Any]) -> None:
    stored = {name: (mark, state) for name, mark, state in states}
    for slot in slots:
        mark, state = stored.get(slot.config.id, ("", None))
        if mark == fingerprint(slot.config):
            slot.detector.from_state(state)


def same_learning(old: DetectorConfig, new: DetectorConfig) -> bool:
    """Whether a detector's state stays meaningful under the new configuration."""
    return fingerprint(old) == fingerprint(new)


def fingerprint(config: DetectorConfig) -> str:
    """What the state of a detector depends on; severity of actions included, since it is part of an anomaly's identity."""
    severities = [action.severity for action in config.actions]
    return f"{config.strategy}|{config.metric}|{sorted(config.params.items())}|{config.severity}|{severities}"
