"""Section `ingestion`: the doors, the buffer behind them, rate limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sentinel.config.types import ConfigModel, Port, PositiveDuration, PositiveInt, Secret, Size


class ServerTls(ConfigModel):
    """Certificate of a server."""

    enabled: bool = False
    cert: str | None = None
    key: str | None = None


class Cors(ConfigModel):
    """Origins that browsers may call from."""

    enabled: bool = False
    allowed_origins: list[str] = Field(default=[])


class GrpcDoor(ConfigModel):
    """Telemetry over gRPC."""

    enabled: bool = True
    port: Port = 9090
    tls: ServerTls = ServerTls()
    max_concurrent_streams: PositiveInt = 1000
    max_receive_message_size: Size = 4_000_000


class HttpDoor(ConfigModel):
    """Telemetry over HTTP."""

    enabled: bool = True
    port: Port = 8080
    tls: ServerTls = ServerTls()
    cors: Cors = Cors()
    max_body_size: Size = 1_000_000


class Sasl(ConfigModel):
    """Login at Kafka; `passwordSecret` is the name of a secret."""

    enabled: bool = False
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password_secret: str | None = None
    password: Secret | None = None
    password_file: str | None = None


class KafkaDoor(ConfigModel):
    """Telemetry from Kafka topics."""

    enabled: bool = True
    brokers: list[str] = Field(default=[])
    topics: list[str] = Field(default=["llm-telemetry"])
    consumer_group: str = "sentinel-ingest"
    sasl: Sasl = Sasl()


class Protocols(ConfigModel):
    """The doors that are open."""

    grpc: GrpcDoor = GrpcDoor()
    http: HttpDoor = HttpDoor()
    kafka: KafkaDoor = KafkaDoor()


class Overflow(ConfigModel):
    """What happens when the buffer is full: spill to disk, or drop."""

    enabled: bool = False
    path: str = "overflow"
    max_size: Size = 10_000_000_000


def _overflow(value: Any) -> Any:
    return {"enabled": False} if value == "drop" else value


class Buffer(ConfigModel):
    """Buffer between a door and Kafka."""

    type: Literal["ring"] = "ring"
    size: PositiveInt = 100_000
    overflow: Annotated[Overflow, BeforeValidator(_overflow)] = Overflow()

    @model_validator(mode="before")
    @classmethod
    def _flat_overflow(cls, value: Any) -> Any:
        """`overflowToDisk` and `overflowPath` are `overflow.enabled` and `overflow.path`."""
        if isinstance(value, dict) and "overflow" not in value and ({"overflowToDisk", "overflowPath"} & value.keys()):
            rest = {key: item for key, item in value.items() if key not in ("overflowToDisk", "overflowPath")}
            named = {"enabled": value.get("overflowToDisk"), "path": value.get("overflowPath")}
            return {**rest, "overflow": {key: item for key, item in named.items() if item is not None}}
        return value


class IngestRateLimit(ConfigModel):
    """Most events that the doors take."""

    enabled: bool = False
    max_events_per_second: PositiveInt = 50_000
    burst_size: PositiveInt = 10_000
    per_tenant: bool = True


class Batching(ConfigModel):
    """How a sidecar sends on."""

    enabled: bool = True
    size: PositiveInt = 100
    timeout: PositiveDuration = 1.0


class LocalGrpc(ConfigModel):
    """Where the application beside a sidecar connects."""

    port: Port = 9090
    unix_socket: str | None = None


class LocalDoor(ConfigModel):
    """The door of a sidecar."""

    grpc: LocalGrpc = LocalGrpc()


class Ingestion(ConfigModel):
    """Where telemetry comes in."""

    protocols: Protocols = Protocols()
    buffer: Buffer = Buffer()
    rate_limiting: IngestRateLimit = Field(default=IngestRateLimit())
    local: LocalDoor | None = None
    batching: Batching | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat_protocols(cls, value: Any) -> Any:
        """`ingestion.grpc`, `.http` and `.kafka` are `ingestion.protocols.…`."""
        if isinstance(value, dict) and "protocols" not in value and ({"grpc", "http", "kafka"} & value.keys()):
            rest = {key: item for key, item in value.items() if key not in ("grpc", "http", "kafka")}
            return {**rest, "protocols": {key: value[key] for key in ("grpc", "http", "kafka") if key in value}}
        return value
