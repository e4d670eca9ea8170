"""Puts the gateway together: journal, limits, doors; and takes it down without losing what it has acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel.collector import collect_seldom
from sentinel.config.ingestion import AmqpDoor as AmqpSettings
from sentinel.config.ingestion import Ingestion
from sentinel.config.model import SentinelConfig
from services.dispatcher.events import log_event
from services.gateway.amqp_door import AmqpDoor
from services.gateway.configuration import ConfigInForce
from services.gateway.gateway import Gateway
from services.gateway.grpc_door import Telemetry
from services.gateway.grpc_server import GrpcServer
from services.gateway.http_door import HttpDoor
from services.gateway.http_server import HttpServer
from services.gateway.journal import BufferLimits, Journal
from services.gateway.kafka_lane import KafkaLane
from services.gateway.metrics import DoorMetrics
from services.gateway.otlp.http import OtlpHttp
from services.gateway.otlp.intake import OtlpIntake
from services.gateway.overflow import OverflowLog
from services.gateway.settings import Ports, amqp_url, certificate_of, enrichment_of, limiter_of, overflow_folder, tokens_of
from services.gateway.sidecar_link import SidecarLink

TOPIC = "llm-telemetry"
DEAD_LETTERS = "llm-telemetry-dlq"


@dataclass
class RunningGateway:
    """A gateway with open doors. `ports` are those that it listens on."""

    gateway: Gateway
    journal: Journal
    ports: dict[str, int] = field(default_factory=dict)
    _servers: list[Any] = field(default_factory=list)
    _link: SidecarLink | None = None
    _in_force: ConfigInForce | None = None
    _dead_letters: Journal | None = None

    @classmethod
    async def start(
        cls,
        config: SentinelConfig,
        kafka: dict[str, Any],
        data: Path,
        *,
        ports: Ports | None = None,
        host: str = "127.0.0.1",
        topic: str = TOPIC,
        limits: BufferLimits | None = None,
        live_config: bool = False,
    ) -> RunningGateway:
        """Opens the doors. `kafka` are librdkafka settings with `bootstrap.servers`; Kafka need not be there.

        With `live_config` every configuration that is published is in force for sidecars and for pairing, else this one.

        Raises GatewaySettingsError, OSError (a port is taken), StackError (another gateway has the overflow folder).
        """
        loop, ingestion = asyncio.get_running_loop(), config.ingestion
        enrichment = enrichment_of(config)
        tokens, wanted = tokens_of(ingestion, host), ports or Ports.of(ingestion)
        folder = overflow_folder(ingestion, data)
        log = OverflowLog(folder, ingestion.buffer.overflow.max_size) if folder is not None else None
        journal = Journal(
            lambda delivered: KafkaLane(kafka, topic, loop, delivered), log, limits or BufferLimits(events=ingestion.buffer.size)
        )
        limiter = limiter_of(ingestion.rate_limiting)
        metrics = DoorMetrics()
        metrics.watch(journal, limiter, enrichment)
        in_force = ConfigInForce(config, kafka["bootstrap.servers"], live=live_config)
        running = cls(Gateway(tokens, limiter, journal, metrics, enrichment, in_force.pairing), journal, _in_force=in_force)
        running._link = SidecarLink(tokens, in_force, kafka)
        metrics.registry.register(running._link.collector())
        try:
            await running._open(ingestion, wanted, host)
            if ingestion.protocols.amqp.enabled:
                # No overflow of their own: a dead letter that cannot be written leaves its message in the queue.
                running._dead_letters = Journal(
                    lambda delivered: KafkaLane(kafka, DEAD_LETTERS, loop, delivered), None, BufferLimits(events=1_000)
                )
                await running._consume(ingestion.protocols.amqp, running._dead_letters)
        except BaseException:
            await running.stop()
            raise
        return running

    async def _open(self, ingestion: Ingestion, ports: Ports, host: str) -> None:
        doors = ingestion.protocols
        intake = OtlpIntake(self.gateway)
        grpc_certificate, http_certificate = certificate_of(doors.grpc.tls, "grpc"), certificate_of(doors.http.tls, "http")
        server = GrpcServer(
            Telemetry(self.gateway), intake, doors.grpc.max_receive_message_size, doors.grpc.max_concurrent_streams, self._link
        )
        self._servers.append(server)
        for name, port in (("grpc", ports.grpc), ("otlp-grpc", ports.otlp_grpc)):
            if port is not None:
                self.ports[name] = server.listen(f"{host}:{port}", grpc_certificate)
        await server.start()
        origins = frozenset(doors.http.cors.allowed_origins) if doors.http.cors.enabled else frozenset()
        application = HttpDoor(self.gateway, OtlpHttp(intake, doors.otlp.max_body_size), doors.http.max_body_size, origins)
        for name, port in (("http", ports.http), ("otlp-http", ports.otlp_http)):
            if port is not None:
                bound = _bound(host, port)
                self.ports[name] = bound.getsockname()[1]
                http = HttpServer(application, bound, http_certificate)
                await http.start()
                self._servers.append(http)

    async def _consume(self, settings: AmqpSettings, dead_letters: Journal) -> None:
        door = AmqpDoor(settings, amqp_url(settings), self.gateway, dead_letters)
        await door.start()
        self._servers.append(door)

    async def stop(self) -> None:
        """Closes the doors, then waits for what is under way."""
        if self._link is not None:
            await self._link.close()
        if self._in_force is not None:
            await asyncio.to_thread(self._in_force.close)
        await asyncio.gather(*(server.stop() for server in self._servers), return_exceptions=True)
        await self.journal.close()
        if self._dead_letters is not None:
            await self._dead_letters.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return bound


async def run(config: SentinelConfig, kafka: dict[str, Any], data: Path, ports: Ports, host: str, *, live_config: bool = True) -> None:
    """Runs until SIGTERM or SIGINT."""
    # Libraries that reconnect say so at every try; our own events say what matters.
    for name in ("aio_pika", "aiormq", "grpc", "uvicorn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = await RunningGateway.start(config, kafka, data, ports=ports, host=host, live_config=live_config)
    # Walking over all that is loaded would hold every request back for a tenth of a second, whenever enough new objects have come.
    collect_seldom()
    log_event(
        "started", host=host, ports=running.ports, kafka=kafka.get("bootstrap.servers"), open_doors=not running.gateway.tokens.required
    )
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()
    await running.stop()
    log_event("stopped", left_on_disk=running.journal.overflow_events)
