"""Puts the sidecar together, keeps its configuration current, and takes it down with its ring emptied."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.config.errors import ConfigError
from sentinel.config.sidecar_view import SidecarView
from sentinel.events.enrichment import Enrichment
from services.dispatcher.events import log_event
from services.gateway.grpc_server import GrpcServer
from services.gateway.http_server import HttpServer
from services.gateway.limits import NoLimit
from services.gateway.metrics import DoorMetrics, RedactionCounts
from services.gateway.otlp.intake import OtlpIntake
from services.gateway.service import _bound
from services.gateway.settings import GatewaySettingsError
from services.gateway.tenants import Tokens
from services.sidecar.centre import Centre
from services.sidecar.findings import FindingCache
from services.sidecar.forwarder import Forwarder
from services.sidecar.grpc_sender import GrpcSender
from services.sidecar.health import HealthDoor
from services.sidecar.http_sender import HttpSender
from services.sidecar.intake import Intake, LocalGateway, LocalTelemetry
from services.sidecar.local_rules import LocalRules
from services.sidecar.metrics import SidecarCounts
from services.sidecar.ring import Ring
from services.sidecar.settings import SidecarSettings

MAX_MESSAGE_BYTES = 4_000_000
MAX_STREAMS = 1_000
LOOK_EVERY_S = 2.0
GRACE_S = 5.0
_FIXED = ("application_id", "namespace", "grpc_port", "unix_socket", "target", "gzip", "link", "health_port", "health_path")
"""What a running sidecar does not change."""


@dataclass
class RunningSidecar:
    """A sidecar with open doors. `ports`: those that it listens on (grpc, health)."""

    settings: SidecarSettings
    intake: Intake
    forwarder: Forwarder
    centre: Centre | None = None
    ports: dict[str, int] = field(default_factory=dict)
    _gateway: LocalGateway | None = None
    _centre_view: SidecarView | None = None
    _servers: list[Any] = field(default_factory=list)

    @classmethod
    async def start(cls, settings: SidecarSettings, health_host: str = "127.0.0.1") -> RunningSidecar:
        """Opens the doors; the centre need not be there. Raises OSError (a port or the socket cannot be had), GatewaySettingsError."""
        metrics = DoorMetrics("sidecar")
        findings = FindingCache(settings.cache_size, settings.cache_ttl_s)
        rules = LocalRules(settings.view, settings.strategies, metrics.registry)
        intake = Intake(Ring(settings.ring_size, settings.drop_policy), rules, findings, settings.selection, settings.sample)
        sender = (GrpcSender if settings.target.protocol == "grpc" else HttpSender)(settings.target, gzip=settings.gzip)
        forwarder = Forwarder(intake.ring, sender, settings.retry, settings.batch_size, settings.batch_wait_s)
        running = cls(settings, intake, forwarder)
        running._gateway = gateway = LocalGateway(Tokens((), required=False), NoLimit(), intake, metrics, _enrichment(settings.view))
        if settings.link is not None:
            running.centre = Centre(settings.link, settings.application_id, running._take_view, findings)
        metrics.registry.register(RedactionCounts(lambda: gateway.enrichment, "sidecar"))
        metrics.registry.register(SidecarCounts(intake, forwarder, running.centre))
        running._in_force()
        try:
            await running._open(health_host, metrics.page)
        except BaseException:
            await running.stop(0.0)
            raise
        forwarder.start()
        if running.centre is not None:
            running.centre.start()
        return running

    def use(self, settings: SidecarSettings) -> None:
        """Other settings from now on; those of addresses wait for the next start, and that is said."""
        fixed = [name for name in _FIXED if name != "target" and name != "link" and getattr(settings, name) != getattr(self.settings, name)]
        fixed += [name for name in ("target", "link") if _place(getattr(settings, name)) != _place(getattr(self.settings, name))]
        if fixed:
            log_event("restart_needed", settings=sorted(fixed))
        self.settings = settings
        self.intake.selection, self.intake.sample = settings.selection, settings.sample
        self.intake.ring.resize(settings.ring_size, settings.drop_policy)
        self.intake.findings.size, self.intake.findings.ttl_s = settings.cache_size, settings.cache_ttl_s
        self.forwarder.retry = settings.retry
        self.forwarder.batch_size, self.forwarder.batch_wait_s = settings.batch_size, settings.batch_wait_s
        self._in_force()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Closes the doors, then sends what waits, for at most `grace_s`."""
        await asyncio.gather(*(server.stop() for server in self._servers), return_exceptions=True)
        if self.centre is not None:
            await self.centre.stop()
        await self.forwarder.stop(grace_s)
        if self.settings.unix_socket is not None:
            Path(self.settings.unix_socket).unlink(missing_ok=True)

    def _take_view(self, view: SidecarView) -> None:
        """What the centre says."""
        self._centre_view = view
        self._in_force()

    def _in_force(self) -> None:
        """Rules, privacy policies, pairing and tenant: the centre's where it is followed, else the file's own."""
        followed = self._centre_view if self.settings.centre_rules else None
        view = followed or self.settings.view
        assert self._gateway is not None
        self.intake.rules.use(view, self.settings.strategies)
        told = self._centre_view.tenant_id if self._centre_view is not None else view.tenant_id
        self._gateway.use(_enrichment(view), self.settings.tenant or told, view.pairing)
        log_event("config", version=view.version, of="centre" if followed else "file", detectors=self.intake.rules.detectors)

    async def _open(self, health_host: str, page: Callable[[], bytes]) -> None:
        settings, gateway = self.settings, self._gateway
        assert gateway is not None
        telemetry = LocalTelemetry(gateway, self.intake, settings.application_id, settings.namespace)
        server = GrpcServer(telemetry, OtlpIntake(gateway), MAX_MESSAGE_BYTES, MAX_STREAMS)
        self._servers.append(server)
        self.ports["grpc"] = server.listen(f"127.0.0.1:{settings.grpc_port}")
        if settings.unix_socket is not None:
            path = Path(settings.unix_socket)
            path.parent.mkdir(parents=True, exist_ok=True)
            server.listen(f"unix:{path}")
        await server.start()
        if settings.unix_socket is not None:
            # Containers of a pod run as different users: who may enter the folder may send, as on the loopback interface.
            Path(settings.unix_socket).chmod(0o666)
        bound = _bound(health_host, settings.health_port)
        self.ports["health"] = bound.getsockname()[1]
        http = HttpServer(HealthDoor(self.intake, self.forwarder, page, settings.health_path), bound)
        await http.start()
        self._servers.append(http)


def _enrichment(view: SidecarView) -> Enrichment:
    """As at the gateway. Without the key that hashes need, values are masked instead: no less is taken out."""
    return Enrichment(view.privacy, view.pricing, view.normalisation)


def _place(target: Any) -> Any:
    return None if target is None else (target.address, target.secure, target.protocol, target.tls)


async def run(load: Callable[[], SidecarSettings], file: Path | None, health_host: str) -> None:
    """Runs until SIGTERM or SIGINT; a changed file is in force after at most `LOOK_EVERY_S`."""
    for name in ("grpc", "uvicorn", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    seen = _content(file)
    running = await RunningSidecar.start(load(), health_host)
    settings = running.settings
    log_event(
        "started", ports=running.ports, unix_socket=settings.unix_socket, centre=settings.target.address, protocol=settings.target.protocol
    )
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
        now = _content(file)
        if now is not None and now != seen:
            seen = now
            try:
                running.use(load())
            except (ConfigError, GatewaySettingsError) as error:
                log_event("config_refused", error=str(error)[:2_000])
    await running.stop()
    log_event("stopped", forwarded=running.forwarder.forwarded, left=running.forwarder.left)


def _content(file: Path | None) -> bytes | None:
    """A mounted ConfigMap is a link to a folder that is exchanged, so its time says nothing; the file is small."""
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError:
        return None
