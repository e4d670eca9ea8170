"""Puts trouble into a stream of events and keeps the truth about it. The same for generated and replayed traffic."""

from __future__ import annotations

import copy
import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from services.traffic import plan as plans
from services.traffic.attacks import attack_prompt
from services.traffic.changes import CHANGES, derived_id, hash_unit, user_of
from services.traffic.timed import Event, TimedEvent, TimedStream, format_ms
from services.traffic.truth import Truth

# Copies of a misused call lie at most this far behind it, so the user's rate is at its height soon after the start.
COPY_SPREAD_MS = 8_000
ATTACK_LATENCY_MS = 700


@dataclass
class _Active:
    spec: plans.Injection
    truth: Truth
    number: int
    sent: int = 0
    copied: dict[str, int] = field(default_factory=dict)


class Injector:
    """Transforms streams of events in time order according to a plan.

    `start_ms` is the event time that the plan's `at` counts from. While a stream is consumed, `truth` holds what was done to it.
    """

    def __init__(self, plan: plans.InjectionPlan, start_ms: int) -> None:
        self._seed = plan.seed
        self._active = [
            _Active(
                spec,
                Truth(
                    spec.kind, spec.tenant, spec.application, spec.user,
                    start_ms + round(spec.at * 1000), start_ms + round((spec.at + spec.duration) * 1000), spec.size(),
                ),
                number,
            )
            for number, spec in enumerate(plan.injections)
        ]  # fmt: skip
        self._places = {(a.truth.tenant_id, a.truth.application_id) for a in self._active}
        self._users: dict[tuple[str, str], Counter[str]] = {place: Counter() for place in self._places}
        self._requests: set[tuple[str, str]] = set()
        self._last_call: dict[tuple[str, str], Event] = {}
        self._added: list[tuple[int, int, Event]] = []
        self._order = itertools.count()

    @property
    def truth(self) -> list[Truth]:
        return [active.truth for active in self._active]

    def apply(self, stream: TimedStream) -> TimedStream:
        """The stream with the trouble in it, still in the order of time. Lines that could not be read pass unchanged."""
        for timed in stream:
            yield from self._due(timed.ts_ms)
            if timed.event is None:
                yield timed
                continue
            result = self._transform(timed)
            if result is not None:
                yield result
        yield from self._due(None)

    def _due(self, until_ms: int | None) -> TimedStream:
        if until_ms is not None:
            self._launch_attacks(until_ms)
        while self._added and (until_ms is None or self._added[0][0] <= until_ms):
            ts_ms, _, event = heapq.heappop(self._added)
            yield TimedEvent(ts_ms, event)

    def _transform(self, timed: TimedEvent) -> TimedEvent | None:
        event = timed.event
        assert event is not None
        place = (event.get("tenant_id"), event.get("application_id"))
        if place not in self._places or not isinstance(event.get("data"), dict):
            return timed
        self._remember(place, event)
        changed = False
        for active in self._active:
            truth = active.truth
            if place != (truth.tenant_id, truth.application_id):
                continue
            if active.spec.kind == "user_misuse":
                self._misuse(active, timed)
                continue
            if not truth.start_ms <= timed.ts_ms < truth.end_ms or (truth.user_id is not None and user_of(event) != truth.user_id):
                continue
            if active.spec.kind == "silence":
                truth.events_touched += 1
                return None
            change = CHANGES.get(active.spec.kind)
            if change is None:
                continue
            if not changed:
                event = copy.deepcopy(event)
            if change(self._seed, active.spec, active.number, event):
                truth.events_touched += 1
                changed = True
        return TimedEvent(timed.ts_ms, event) if changed else timed

    def _remember(self, place: tuple[str, str], event: Event) -> None:
        user = user_of(event)
        if user is not None:
            self._users[place][user] += 1
        if event.get("event_type") == "llm.request":
            self._requests.add(place)
        if event.get("event_type") == "llm.response" and event["data"].get("status") == "success":
            self._last_call[place] = event

    def _add(self, ts_ms: int, event: Event, truth: Truth) -> None:
        event["timestamp"] = format_ms(ts_ms)
        truth.events_touched += 1
        heapq.heappush(self._added, (ts_ms, next(self._order), event))

    def _misuse(self, active: _Active, timed: TimedEvent) -> None:
        """Repeat the call (request and answer by the same shifts) factor - 1 times; a broken factor becomes a chance for one more."""
        truth, event = active.truth, timed.event
        assert event is not None and isinstance(active.spec, plans.UserMisuse)
        if timed.ts_ms < truth.start_ms:
            return
        if truth.user_id is None:
            known = self._users[(truth.tenant_id, truth.application_id)]
            truth.user_id = known.most_common(1)[0][0] if known else None
        if truth.user_id is None or user_of(event) != truth.user_id:
            return
        call = str(event.get("correlation_id") or event.get("event_id"))
        if call not in active.copied:
            # In a stream with requests the call begins with its request: the late answer of an earlier call is not repeated. A trace of
            # answers only has no requests; there each answer is a call of its own.
            place = (truth.tenant_id, truth.application_id)
            begins = event.get("event_type") == "llm.request" or place not in self._requests
            if timed.ts_ms >= truth.end_ms or not begins:
                return
            active.copied[call] = min(COPY_SPREAD_MS, truth.end_ms - timed.ts_ms)
        spread = active.copied[call]
        extra = active.spec.factor - 1.0
        copies = int(extra) + (hash_unit(self._seed, active.number, call) < extra % 1.0)
        for turn in range(copies):
            shift = int(hash_unit(self._seed, active.number, call, turn) * spread)
            clone = copy.deepcopy(event)
            clone["event_id"] = derived_id(self._seed, active.number, event.get("event_id"), turn)
            if event.get("correlation_id"):
                clone["correlation_id"] = f"{event['correlation_id']}-{active.number}-{turn}"
            self._add(timed.ts_ms + shift, clone, truth)

    def _launch_attacks(self, until_ms: int) -> None:
        for active in self._active:
            spec, truth = active.spec, active.truth
            if not isinstance(spec, plans.PromptInjectionWave):
                continue
            while active.sent < spec.prompts:
                at = truth.start_ms + int((truth.end_ms - truth.start_ms) * (active.sent + 0.5) / spec.prompts)
                if at > until_ms:
                    break
                self._attack(active, at)
                active.sent += 1

    def _attack(self, active: _Active, ts_ms: int) -> None:
        truth, index = active.truth, active.sent
        last = self._last_call.get((truth.tenant_id, truth.application_id), {})
        data: dict[str, Any] = last.get("data", {})
        user = truth.user_id or f"{truth.application_id}-intruder"
        model = data.get("model") or "unknown"
        base: Event = {
            "source": last.get("source") or {"service": "llm-observatory", "host": "obs-worker-01", "version": "1.2.3"},
            "application_id": truth.application_id,
            "tenant_id": truth.tenant_id,
            "correlation_id": f"req-attack-{active.number}-{index}-{truth.start_ms}",
            "metadata": {"user_id": user, "session_id": f"{user}-s{index // 10}", "environment": "prod", "tags": {"language": "en"}},
        }
        name = (self._seed, active.number, truth.start_ms, index)
        prompt = attack_prompt(self._seed, active.number * 1000 + index)
        prompt_tokens = max(1, len(prompt) // 4)
        request = {"event_id": derived_id("request", *name), "timestamp": "", "event_type": "llm.request", **copy.deepcopy(base)}
        request["data"] = {"model": model, "prompt": prompt, "prompt_tokens": prompt_tokens}
        self._add(ts_ms, request, truth)
        # The answer looks like the application's last one, so that the wave shows in the prompts only.
        answer = {"event_id": derived_id("response", *name), "timestamp": "", "event_type": "llm.response", **copy.deepcopy(base)}
        latency = data.get("latency_ms", ATTACK_LATENCY_MS)
        answer["data"] = {"status": "success", "latency_ms": latency, "finish_reason": "stop", **data, "model": model}
        answer["data"]["response"] = "I cannot help with that request."
        self._add(ts_ms + round(latency), answer, truth)
