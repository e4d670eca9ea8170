"""llm.sentinel.v1.SidecarLink: sidecars follow the rules that they run, and what the jobs found about their application.

Detection itself stays where it is, in the jobs: a sidecar sends its events there like everybody else, and hears here what came of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import grpc
import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schemas.pb.llm.sentinel.v1 import sidecar_pb2 as pb
from sentinel.anomaly import SHADOW
from sentinel.config.sidecar_view import view_of
from services.dispatcher.events import log_event
from services.gateway.anomaly_tail import AnomalyTail
from services.gateway.configuration import ConfigInForce
from services.gateway.grpc_door import credentials
from services.gateway.grpc_errors import abort
from services.gateway.records import GatewayError
from services.gateway.tenants import Principal, Tokens

LOOK_EVERY_S = 1.0
WAITING = 1_000
"""So many anomalies wait for a sidecar that is slow; the oldest go first."""


class _Heading(msgspec.Struct):
    tenant_id: str = ""
    application_id: str = ""
    status: str = ""


class _Follower(NamedTuple):
    tenants: frozenset[str] | None
    application: str
    waiting: asyncio.Queue[bytes | None]

    def concerned(self, heading: _Heading) -> bool:
        if not self.application or heading.application_id != self.application or heading.status == SHADOW:
            return False
        return self.tenants is None or heading.tenant_id in self.tenants


class SidecarLink:
    """Serves sidecars. Anomalies are read from the first of them on."""

    def __init__(self, tokens: Tokens, in_force: ConfigInForce, kafka: dict[str, Any]) -> None:
        self._tokens, self._in_force = tokens, in_force
        self._loop = asyncio.get_running_loop()
        self._tail = AnomalyTail(kafka, lambda value: _call(self._loop, self._dispatch, value))
        self._started = False
        self._followers: list[_Follower] = []
        self._views: dict[tuple[int, str, frozenset[str] | None], bytes] = {}
        self.dropped_anomalies = 0

    async def Follow(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:  # noqa: N802
        """One sidecar, until it or the gateway ends."""
        try:
            who = self._tokens.principal(*credentials(context))
        except GatewayError as error:
            await abort(context, error)
        self._start()
        follower = _Follower(who.allowed, request.application_id, asyncio.Queue(WAITING))
        self._followers.append(follower)
        told: bytes | None = None
        try:
            while True:
                view = self._view(who)
                if view is not None and view != told:
                    told = view
                    yield pb.FollowUpdate(configuration_json=view)
                try:
                    anomaly = await asyncio.wait_for(follower.waiting.get(), LOOK_EVERY_S)
                except TimeoutError:
                    continue
                if anomaly is None:
                    return
                yield pb.FollowUpdate(anomaly_json=anomaly)
        finally:
            self._followers.remove(follower)

    async def close(self) -> None:
        """Ends every stream and what reads Kafka."""
        for follower in self._followers:
            self._put(follower, None)
        if self._started:
            await asyncio.to_thread(self._tail.close)

    def collector(self) -> Collector:
        """For /metrics."""
        return _Counts(self)

    @property
    def followers(self) -> int:
        """Sidecars that follow."""
        return len(self._followers)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._tail.start()

    def _view(self, who: Principal) -> bytes | None:
        version, snapshot = self._in_force.current()
        key = (version, who.tenant_id, who.allowed)
        if key not in self._views:
            if len(self._views) > 1_000 or any(known[0] != version for known in self._views):
                self._views.clear()
            try:
                self._views[key] = view_of(version, snapshot, who.tenant_id, who.allowed).to_json()
            except (KeyError, ValueError) as error:
                log_event("config_refused", version=version, error=type(error).__name__)
                return None
        return self._views[key]

    def _dispatch(self, value: bytes) -> None:
        try:
            heading = _heading.decode(value)
        except msgspec.DecodeError:
            return
        for follower in self._followers:
            if follower.concerned(heading):
                self._put(follower, value)

    def _put(self, follower: _Follower, value: bytes | None) -> None:
        if follower.waiting.full():
            follower.waiting.get_nowait()
            self.dropped_anomalies += 1
        follower.waiting.put_nowait(value)


_heading = msgspec.json.Decoder(_Heading)


def _call(loop: asyncio.AbstractEventLoop, function: Any, value: bytes) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, value)


class _Counts(Collector):
    def __init__(self, link: SidecarLink) -> None:
        self._link = link

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        yield GaugeMetricFamily("sentinel_gateway_sidecars", "Sidecars that follow this gateway", self._link.followers)
        yield CounterMetricFamily(
            "sentinel_gateway_sidecar_dropped_anomalies", "Anomalies that slow sidecars did not hear of", self._link.dropped_anomalies
        )
