"""The gRPC server: limits, TLS, health and reflection around the services."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from schemas.pb.llm.sentinel.v1 import ingestion_pb2, ingestion_pb2_grpc, sidecar_pb2, sidecar_pb2_grpc
from services.gateway.grpc_door import LogsExport, MetricsExport, Telemetry, TraceExport
from services.gateway.grpc_reading import SERVER_OPTIONS, ReadingInterceptor
from services.gateway.otlp.intake import OtlpIntake
from services.gateway.sidecar_link import SidecarLink

_NAMES = (
    ingestion_pb2.DESCRIPTOR.services_by_name["TelemetryIngestion"].full_name,
    trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name,
    logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"].full_name,
    metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name,
)
HANDSHAKE_TIMEOUT_S = 10.0


class GrpcServer:
    """Serves all services on every address that is added; that for sidecars only with a `link`."""

    def __init__(
        self,
        telemetry: Telemetry,
        intake: OtlpIntake,
        max_message_bytes: int,
        max_streams: int,
        link: SidecarLink | None = None,
    ) -> None:
        self._server = grpc.aio.server(
            interceptors=[ReadingInterceptor(max_message_bytes)],
            options=[
                *SERVER_OPTIONS,
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                ("grpc.max_concurrent_streams", max_streams),
                ("grpc.so_reuseport", 0),
                # Slow or dead clients: pings find them, and a connection that never finishes its handshake is closed.
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.max_connection_idle_ms", 900_000),
                ("grpc.server_handshake_timeout_ms", round(HANDSHAKE_TIMEOUT_S * 1000)),
            ],
            # With the size of a message this bounds what calls under way may hold.
            maximum_concurrent_rpcs=max_streams,
        )
        ingestion_pb2_grpc.add_TelemetryIngestionServicer_to_server(telemetry, self._server)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(TraceExport(intake), self._server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(LogsExport(intake), self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(MetricsExport(intake), self._server)
        self._names: tuple[str, ...] = _NAMES
        if link is not None:
            self._names = (*_NAMES, sidecar_pb2.DESCRIPTOR.services_by_name["SidecarLink"].full_name)
            sidecar_pb2_grpc.add_SidecarLinkServicer_to_server(link, self._server)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    def listen(self, address: str, certificate: tuple[str, str] | None = None) -> int:
        """Adds an address; the port that it got. Raises OSError when it is taken."""
        try:
            if certificate is None:
                return self._server.add_insecure_port(address)
            chain, key = Path(certificate[0]).read_bytes(), Path(certificate[1]).read_bytes()
            return self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None

    async def start(self) -> None:
        """Serves from now on."""
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Takes no more calls; those under way have `grace_s` to end."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
