"""Sections `application`, `forwarding`, `cache` and `health`: a sidecar, the process beside one application (specification, Sidecar Pattern)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sentinel.config.storage import ClientTls
from sentinel.config.types import ConfigModel, Duration, Name, Port, PositiveDuration, PositiveInt, Ratio, Reference, Secret
from sentinel.events.model import EventType


class SidecarApplication(ConfigModel):
    """The application beside a sidecar. Events of its own gRPC service that name no application get this one, and its namespace as a tag."""

    id: str
    namespace: str | None = None
    tenant: Name | None = Field(default=None, description="of events that name none; default: the tenant of the token at the centre")


class SidecarRetry(ConfigModel):
    """Attempts for a batch that the centre cannot take in. While it is away, or asks to wait, events stay in the ring, however long."""

    enabled: bool = True
    max_attempts: PositiveInt = 3
    backoff: Literal["exponential", "fixed"] = "exponential"
    initial_backoff: PositiveDuration = 0.5
    max_backoff: PositiveDuration = 10.0


class ForwardTarget(ConfigModel):
    """A gateway: host:port of its gRPC (`protocol: grpc`) or HTTP door, or a reference ${NAME} to it."""

    endpoint: Annotated[str, Field(min_length=1)]
    protocol: Literal["grpc", "http"] = "grpc"
    tls: ClientTls = ClientTls()
    retry: SidecarRetry = SidecarRetry()
    timeout: PositiveDuration = 10.0
    token: Secret | None = None
    token_file: str | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("expected one of token and tokenFile")
        return self


class Compression(ConfigModel):
    """Of what is sent on."""

    enabled: bool = True
    algorithm: Literal["gzip", "none"] = "gzip"


class IncludedEvents(ConfigModel):
    """What is sent on; without a list everything is."""

    event_types: list[EventType] = Field(default=[])


class ExcludedEvents(ConfigModel):
    """What is not sent on: one value that matches is enough. Keys are those of an event's metadata and of its tags."""

    event_types: list[EventType] = Field(default=[])
    metadata: dict[str, str] = Field(default={}, max_length=100)


class Filters(ConfigModel):
    """Which events are sent on (specification, Observatory integration)."""

    include: IncludedEvents = IncludedEvents()
    exclude: ExcludedEvents = ExcludedEvents()


class EventSampling(ConfigModel):
    """A share of the traces is sent on, the same one by every sidecar; what a local detector found is always sent on."""

    ratio: Ratio = 1.0
    always: list[EventType] = Field(default=["llm.error"], description="sent on whatever the sample says")


class Forwarding(ConfigModel):
    """Where a sidecar sends to, and what."""

    central: ForwardTarget
    compression: Compression = Compression()
    filters: Filters = Filters()
    sampling: EventSampling = EventSampling()


class Cache(ConfigModel):
    """What a sidecar remembers of the anomalies of its application."""

    type: Literal["memory"] = "memory"
    size: PositiveInt | Reference = 1000
    ttl: Duration = 300.0


class Health(ConfigModel):
    """Health endpoint of a sidecar."""

    port: Port = 8081
    endpoint: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.-]*$")] = "/health"
