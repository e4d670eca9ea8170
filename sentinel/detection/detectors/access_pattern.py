"""Strategy `access_pattern`: a model or a region that is new for a user and rare among his peers, and bursts after dormancy."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.behaviour import Users, behaviour_detection, params_of, user_rows
from sentinel.detection.facts import FACT_WIDTH_MS, Fact
from sentinel.detection.sentences import duration
from sentinel.detection.state import check_version
from sentinel.detection.tuning import Tuning
from sentinel.panes import Pane

STATE_VERSION = 1
MINUTE_MS = 60_000
MOST_PER_USER = 32
MOST_PER_APPLICATION = 1_000


class _Params(msgspec.Struct, frozen=True):
    watch: tuple[str, ...] = ("model", "region", "dormancy")
    warmup_s: float = 86_400.0
    forget_after_s: float = 2_592_000.0
    max_users: int = 5_000
    repeat_s: float = 300.0
    min_events: int = 50
    peer_share: float = 0.1
    dormant_after_s: float = 1_209_600.0
    burst_events: int = 20


class _User(msgspec.Struct, array_like=True):
    first_ms: int
    last_ms: int
    events: int = 0
    things: list[str] = []
    """`model gpt-4`, `region eu`: what he used, the latest last."""
    awake_ms: int = 0
    slept_ms: int = 0
    burst: int = 0


class _Thing(msgspec.Struct, array_like=True):
    """A model or region of the application: since when it is known, and how many users have used it."""

    first_ms: int
    users: int = 0


class AccessPatternDetector:
    """All users of one application."""

    def __init__(self, config: DetectorConfig, dedup_ms: int = 300_000) -> None:
        self.config, self.params = config, params_of(config, _Params)
        self.tuning = Tuning(level="application")
        self._users: Users[_User] = Users(self.params.max_users, round(self.params.forget_after_s * 1000))
        self._things: dict[str, _Thing] = {}

    def on_second(self, start_ms: int, panes: list[Pane], facts: list[Fact], found: list[str]) -> list[Detection]:
        """Look at what each user reached for."""
        end_ms = start_ms + FACT_WIDTH_MS
        said: list[Detection] = []
        for name, model, region, events, _, _, event in user_rows(facts):
            user = self._users.get(name) or _User(start_ms, start_ms)
            slept_ms = start_ms - user.last_ms
            if slept_ms >= self.params.dormant_after_s * 1000:
                user.awake_ms, user.slept_ms, user.burst = start_ms, slept_ms, 0
            user.last_ms = start_ms
            user.events += events
            for kind, value in (("model", model), ("region", region)):
                if value and (new := self._reach(name, user, kind, value, end_ms, event)) is not None:
                    said.append(new)
            if user.awake_ms and (burst := self._awake(name, user, events, end_ms, event)) is not None:
                said.append(burst)
            self._users.put(name, user, end_ms)
        return said

    def on_time(self, now_ms: int) -> Detection | None:
        """Nothing is due by time alone."""
        return None

    def next_timer(self) -> int | None:
        """Never."""
        return None

    def _reach(self, name: str, user: _User, kind: str, value: str, end_ms: int, event: str) -> Detection | None:
        thing = f"{kind} {value}"
        if thing in user.things:
            return None
        # The one that nobody has come to for longest goes first: made-up names must not push out what is in use.
        known = self._things[thing] = self._things.pop(thing, _Thing(end_ms))
        if len(self._things) > MOST_PER_APPLICATION:
            del self._things[next(iter(self._things))]
        share = known.users / max(1, len(self._users.states))
        known.users += 1
        had = [other for other in user.things if other.startswith(f"{kind} ")]
        user.things = [*user.things, thing][-MOST_PER_USER:]
        params, warm_ms = self.params, self.params.warmup_s * 1000
        # What is new in the application itself is its own news (`entity_relationship`), not the user's.
        if (
            kind not in params.watch
            or not had
            or end_ms - user.first_ms < warm_ms
            or user.events < params.min_events
            or end_ms - known.first_ms < warm_ms
            or share >= params.peer_share
        ):
            return None
        return behaviour_detection(
            self.config, user=name, at_ms=end_ms, window_ms=FACT_WIDTH_MS, observed=1.0, baseline=0.0, count=1, key=thing,
            score=round(1.0 - share, 4), learned_s=(end_ms - user.first_ms) / 1000, samples=[event],
            sentence=f"{thing} for the first time in {duration((end_ms - user.first_ms) / 1000)} and {user.events:,} events; until now "
            f"{', '.join(had)}; {share:.1%} of the users use it",
        )  # fmt: skip

    def _awake(self, name: str, user: _User, events: int, end_ms: int, event: str) -> Detection | None:
        if end_ms - user.awake_ms > MINUTE_MS:
            user.awake_ms = 0
            return None
        user.burst += events
        if "dormancy" not in self.params.watch or user.burst < self.params.burst_events:
            return None
        user.awake_ms = 0
        return behaviour_detection(
            self.config, user=name, at_ms=end_ms, window_ms=MINUTE_MS, observed=float(user.burst), baseline=0.0, count=user.burst,
            key="burst after dormancy", samples=[event], high=float(self.params.burst_events),
            sentence=f"{user.burst} events within a minute after {duration(user.slept_ms / 1000)} without any",
        )  # fmt: skip

    def to_state(self) -> list[Any]:
        """Users and what the application knows."""
        return [STATE_VERSION, self._things, self._users.to_state()]

    def from_state(self, state: Any) -> None:
        """Take over a state of `to_state`; raises StateError on another version."""
        things, users = check_version(state, STATE_VERSION, type(self).__name__)
        self._things = msgspec.convert(things, dict[str, _Thing], strict=False)
        self._users.restore(users, _User)
