"""Sections `api`, `observability`, `integrations`, `ha`, `retry`, `components`, `multiRegion`, `kafka` and `features`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sentinel.config.ingestion import ServerTls
from sentinel.config.receivers import Url
from sentinel.config.shield import Endpoint
from sentinel.config.storage import ClientTls
from sentinel.config.types import ConfigModel, Port, PositiveDuration, PositiveInt, Ratio, Secret
from sentinel.incidents import check_conditions


class RestApi(ConfigModel):
    enabled: bool = True
    port: Port = 8443
    base_path: str = "/api/v1"
    tls: ServerTls = ServerTls()


class GrpcApi(ConfigModel):
    enabled: bool = True
    port: Port = 9443
    reflection: bool = True


class Authentication(ConfigModel):
    type: Literal["none", "jwt", "oauth2", "mtls"] = "none"
    issuer: str | None = None
    audience: str | None = None
    jwks_url: str | None = None


class Authorization(ConfigModel):
    type: Literal["none", "rbac"] = "none"
    policy_file: str | None = None


class ApiRateLimit(ConfigModel):
    enabled: bool = False
    default_limit: PositiveInt = 1000
    window: PositiveDuration = 60.0


class Api(ConfigModel):
    """API gateway."""

    rest: RestApi = RestApi()
    grpc: GrpcApi = GrpcApi()
    authentication: Authentication = Authentication()
    authorization: Authorization = Authorization()
    rate_limiting: ApiRateLimit = ApiRateLimit()


class MetricsEndpoint(ConfigModel):
    enabled: bool = True
    port: Port = 9090
    path: str = "/metrics"


class Logging(ConfigModel):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    output: str = "stdout"


class Tracing(ConfigModel):
    enabled: bool = False
    type: Literal["otlp", "jaeger"] = "otlp"
    endpoint: str | None = None
    sampling_rate: Ratio = 0.1


class Observability(ConfigModel):
    """How Sentinel itself is watched."""

    metrics: MetricsEndpoint = MetricsEndpoint()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()


class Observatory(ConfigModel):
    endpoint: str
    tls: ClientTls = ClientTls()


class Shield(ConfigModel):
    """LLM-Shield, which enforces actions."""

    endpoint: Endpoint
    timeout: PositiveDuration = Field(default=5.0, le=30)
    retries: int = Field(default=3, ge=0, le=20, description="Attempts for one action; `retry.shieldAction` says it in more detail")
    tls: ClientTls = Field(default=ClientTls(), description="Certificates for an endpoint grpcs://")


class AutoCreate(ConfigModel):
    """Alerts that become incidents by themselves: those for which all conditions hold (labels, annotations, `score: ">= 0.9"`)."""

    enabled: bool = True
    conditions: list[dict[str, str | float]] = Field(default=[], max_length=50)

    @field_validator("conditions")
    @classmethod
    def _can_be_evaluated(cls, conditions: list[dict[str, str | float]]) -> list[dict[str, str | float]]:
        check_conditions(conditions)
        return conditions


class IncidentMapping(ConfigModel):
    """Severities (critical: P1, …), and templates of title, description, source and tags."""

    severity: dict[Literal["info", "warning", "critical"], str] = Field(default={})
    fields: dict[Literal["title", "description", "source", "tags"], str | list[str]] = Field(default={})


class IncidentManager(ConfigModel):
    """LLM-Incident-Manager. Without a receiver of type incident, one named `incident-manager` is there."""

    enabled: bool = True
    endpoint: Url
    api_key: Secret | None = None
    api_key_file: str | None = None
    auto_create: AutoCreate | None = None
    mapping: IncidentMapping | None = None


class GovernanceDashboard(ConfigModel):
    """The Governance Dashboard, to which metrics are pushed."""

    endpoint: Url
    api_key: Secret | None = None
    api_key_file: str | None = None


class Integrations(ConfigModel):
    """The neighbours in the LLM ecosystem."""

    observatory: Observatory | None = None
    shield: Shield | None = None
    incident_manager: IncidentManager | None = None
    governance_dashboard: GovernanceDashboard | None = None


class Leader(ConfigModel):
    """Leader election. Ours is a PostgreSQL advisory lock; other backends are accepted and replaced."""

    election: Literal["postgresql", "etcd", "consul"] = "postgresql"
    lease_duration: PositiveDuration = 15.0
    renew_deadline: PositiveDuration = 10.0
    retry_period: PositiveDuration = 2.0


class SingletonTask(ConfigModel):
    name: str
    schedule: str


class Ha(ConfigModel):
    """High availability; `leaderElection {enabled, backend, …}` is another form of `enabled` and `leader {election, …}`."""

    enabled: bool = False
    leader: Leader = Leader()
    singleton_tasks: list[SingletonTask] = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _election_form(cls, value: Any) -> Any:
        election = value.get("leaderElection") if isinstance(value, dict) and "leader" not in value else None
        if not isinstance(election, dict):
            return value
        rest = {key: item for key, item in value.items() if key != "leaderElection"}
        leader = {("election" if key == "backend" else key): item for key, item in election.items() if key != "enabled"}
        return {"enabled": election.get("enabled", False), **rest, "leader": leader}


class RetryPolicy(ConfigModel):
    enabled: bool = True
    max_attempts: PositiveInt = 5
    initial_backoff: PositiveDuration = 1.0
    max_backoff: PositiveDuration = 60.0
    backoff_multiplier: float = Field(default=2.0, ge=1)


class Retry(ConfigModel):
    """Retries on the critical paths."""

    alert_notification: RetryPolicy = RetryPolicy()
    shield_action: RetryPolicy | None = None


class ScalingMetric(ConfigModel):
    type: Literal["cpu", "custom"]
    metric: str | None = None
    target: str | float


class ScalingPolicy(ConfigModel):
    min_replicas: PositiveInt
    max_replicas: PositiveInt
    metrics: list[ScalingMetric] = Field(default=[])


class Region(ConfigModel):
    name: str
    priority: PositiveInt
    endpoint: str


class DataLocality(ConfigModel):
    enabled: bool = True
    local_processing: bool = True


class Failover(ConfigModel):
    enabled: bool = True
    health_check_interval: PositiveDuration = 30.0
    failover_timeout: PositiveDuration = 60.0


class MultiRegion(ConfigModel):
    """Several regions."""

    enabled: bool = False
    local_region: str | None = None
    regions: list[Region] = Field(default=[])
    data_locality: DataLocality = DataLocality()
    failover: Failover = Failover()


class TopicSettings(ConfigModel):
    partitions: PositiveInt | None = None
    replication_factor: PositiveInt | None = None
    min_in_sync_replicas: PositiveInt | None = None
    retention_ms: Annotated[int, Field(ge=-1)] | None = None


class KafkaSettings(ConfigModel):
    """Durability of topics."""

    topics: dict[str, TopicSettings] = Field(default={})


class Feature(ConfigModel):
    enabled: bool = False
    rollout: Annotated[float, Field(ge=0, le=100)] = Field(default=100, description="Percent")
