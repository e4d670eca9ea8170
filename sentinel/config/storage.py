"""Sections `storage`, `retention` and `configService`: where things are kept and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from sentinel.config.types import ConfigModel, Port, Secret
from sentinel.config.units import format_duration, parse_duration


def _retention(value: object) -> float | str:
    if value == "infinite":
        return "infinite"
    if isinstance(value, str | int | float):
        return parse_duration(value)
    raise ValueError("expected a duration such as 90d or 1y, or infinite")


Retention = Annotated[
    float | Literal["infinite"],
    BeforeValidator(_retention),
    PlainSerializer(lambda value: value if isinstance(value, str) else format_duration(value), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["90d", "1y", "infinite"]}),
]


class TimeseriesRetention(ConfigModel):
    """How long each resolution is kept."""

    raw: Retention | None = None
    rollup_1m: Retention | None = None
    rollup_5m: Retention | None = None


class TimeseriesStore(ConfigModel):
    """Rollups. Ours is PostgreSQL; other types are accepted and replaced."""

    type: Literal["postgresql", "influxdb", "timescaledb", "prometheus"] = "postgresql"
    url: str | None = None
    database: str = "sentinel"
    retention: TimeseriesRetention = TimeseriesRetention()


class EventStore(ConfigModel):
    """Anomalies for search. Ours is OpenSearch; other types are accepted and replaced."""

    type: Literal["opensearch", "elasticsearch", "postgresql"] = "opensearch"
    urls: list[str] = Field(default=[])
    index: str = "sentinel-events"
    retention: Retention = 90 * 86400.0


class AlertStore(ConfigModel):
    """Alerts and notifications. Ours is PostgreSQL."""

    type: Literal["postgresql", "mongodb", "sqlite"] = "postgresql"
    host: str | None = None
    port: Port = 5432
    database: str = "sentinel"
    username: str | None = None
    password: Secret | None = None
    password_file: str | None = None
    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"


class ObjectStore(ConfigModel):
    """Models, backups, archives. Ours is any file system of Flink's: `file` embedded, `s3` in a cluster."""

    type: Literal["file", "s3", "minio"] = "file"
    path: str | None = None
    bucket: str | None = None
    region: str | None = None
    endpoint: str | None = None


class Storage(ConfigModel):
    """Stores. With `path` alone everything lies below one folder (standalone)."""

    path: str | None = None
    timeseries: TimeseriesStore = TimeseriesStore()
    events: EventStore = EventStore()
    alerts: AlertStore = AlertStore()
    object_storage: ObjectStore = ObjectStore()


class RetentionTiers(ConfigModel):
    """How long a kind of record stays at each resolution."""

    hot: Retention | None = None
    warm: Retention | None = None
    cold: Retention | None = None
    archive: Retention | None = None


class AlertRetention(ConfigModel):
    """How long alerts stay."""

    active: Retention = "infinite"
    resolved: Retention = 365 * 86400.0


class RetentionPolicies(ConfigModel):
    """Section `retention` (specification, Storage Layer)."""

    raw_telemetry: RetentionTiers | None = Field(default=None)
    anomaly_events: RetentionTiers | None = None
    alerts: AlertRetention | None = None
    audit_logs: RetentionTiers | None = None


class ClientTls(ConfigModel):
    """Certificates of a client."""

    enabled: bool = False
    cert_file: str | None = None
    key_file: str | None = None
    ca_file: str | None = None


class ConfigServiceSettings(ConfigModel):
    """Where configuration versions are kept. Ours is PostgreSQL with a compacted Kafka topic; other types are accepted and replaced."""

    type: Literal["postgresql", "etcd", "consul", "dynamodb", "file"] = "postgresql"
    endpoints: list[str] = Field(default=[])
    prefix: str = "/sentinel"
    tls: ClientTls = ClientTls()
