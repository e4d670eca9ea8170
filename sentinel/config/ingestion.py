"""Section `ingestion`: the doors, the buffer behind them, rate limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sentinel.config.normalisation import Normalisation
from sentinel.config.pairing import RequestPairing
from sentinel.config.pricing import Pricing
from sentinel.config.privacy import Privacy
from sentinel.config.types import ConfigModel, Name, Port, PositiveDuration, PositiveInt, Secret, Size


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


class OtlpDoor(ConfigModel):
    """OpenTelemetry's ports. What they serve is served on the gRPC and HTTP ports, too."""

    enabled: bool = True
    grpc_port: Port = 4317
    http_port: Port = 4318
    max_body_size: Size = 4_000_000


class AmqpDoor(ConfigModel):
    """Telemetry from a queue of RabbitMQ or another AMQP 0.9.1 broker; one JSON event, an array or NDJSON a message."""

    enabled: bool = False
    url: Secret | None = Field(default=None, description="amqp://user:password@host:5672/vhost, as a reference: it holds a password")
    url_file: str | None = None
    queue: str = "llm-telemetry"
    prefetch: PositiveInt = 200
    tenant: Name = Field(default="default", description="of events that name none")


class Protocols(ConfigModel):
    """The doors that are open."""

    grpc: GrpcDoor = GrpcDoor()
    http: HttpDoor = HttpDoor()
    otlp: OtlpDoor = OtlpDoor()
    amqp: AmqpDoor = AmqpDoor()
    kafka: KafkaDoor = KafkaDoor()


class DoorToken(ConfigModel):
    """A token and the tenants that it speaks for, by its SHA-256, by reference, or from a file."""

    tenants: list[Name] = Field(min_length=1, description="The first one is that of events that name none")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    token: Secret | None = None
    token_file: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> DoorToken:
        if sum(part is not None for part in (self.sha256, self.token, self.token_file)) != 1:
            raise ValueError("expected exactly one of sha256, token and tokenFile")
        return self


class DoorAuthentication(ConfigModel):
    """Who may send. Without tokens the doors are open, and only on the loopback interface."""

    tokens: list[DoorToken] = Field(default=[])


class Overflow(ConfigModel):
    """What happens when the buffer is full: spill to disk, or drop."""

    enabled: bool = True
    path: str = Field(default="overflow", description="a relative one is below the stack's data folder")
    max_size: Size = 10_000_000_000


def _overflow(value: Any) -> Any:
    return {"enabled": False} if value == "drop" else value


class Buffer(ConfigModel):
    """Buffer between a door and Kafka; that of a sidecar holds 1,000 events unless told otherwise, in memory alone."""

    type: Literal["ring"] = "ring"
    size: PositiveInt = 100_000
    overflow: Annotated[Overflow, BeforeValidator(_overflow)] = Overflow()
    drop_policy: Literal["oldest", "newest"] = Field(default="oldest", description="which events a sidecar loses when its buffer is full")

    @model_validator(mode="before")
    @classmethod
    def _flat_overflow(cls, value: Any) -> Any:
        """`overflowToDisk` and `overflowPath` are `overflow.enabled` and `overflow.path`."""
        if isinstance(value, dict) and "overflow" not in value and ({"overflowToDisk", "overflowPath"} & value.keys()):
            rest = {key: item for key, item in value.items() if key not in ("overflowToDisk", "overflowPath")}
            named = {"enabled": value.get("overflowToDisk"), "path": value.get("overflowPath")}
            return {**rest, "overflow": {key: item for key, item in named.items() if item is not None}}
        return value


class TenantRate(ConfigModel):
    """Limits of one tenant; what is left out is the common one."""

    max_events_per_second: PositiveInt | None = None
    burst_size: PositiveInt | None = None
    max_events_per_day: PositiveInt | None = None


class IngestRateLimit(ConfigModel):
    """Most events that the doors take. With a Valkey (or Redis) the gateways share the limits; without, each has its own."""

    enabled: bool = True
    max_events_per_second: PositiveInt = 50_000
    burst_size: PositiveInt = 10_000
    max_events_per_day: PositiveInt | None = None
    per_tenant: bool = True
    tenants: dict[str, TenantRate] = Field(default={})
    valkey_url: Secret | None = Field(default=None, description="redis://[:password@]host:6379/0, as a reference")


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


_DOORS = frozenset(Protocols.model_fields)


class Ingestion(ConfigModel):
    """Where telemetry comes in."""

    protocols: Protocols = Protocols()
    authentication: DoorAuthentication = DoorAuthentication()
    buffer: Buffer = Buffer()
    rate_limiting: IngestRateLimit = Field(default=IngestRateLimit())
    privacy: Privacy = Privacy()
    pricing: Pricing = Pricing()
    normalisation: Normalisation = Normalisation()
    pairing: RequestPairing = RequestPairing()
    local: LocalDoor | None = None
    batching: Batching | None = None

    @model_validator(mode="before")
    @classmethod
    def _flat_protocols(cls, value: Any) -> Any:
        """`ingestion.grpc`, `.http`, `.kafka` and so on are `ingestion.protocols.…`."""
        if isinstance(value, dict) and "protocols" not in value and (_DOORS & value.keys()):
            rest = {key: item for key, item in value.items() if key not in _DOORS}
            return {**rest, "protocols": {key: value[key] for key in value if key in _DOORS}}
        return value
