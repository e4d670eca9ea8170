"""Where a job finds its neighbours: from the environment, `SENTINEL_KAFKA_BOOTSTRAP` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from sentinel.detection.engine import MAX_KEYS
from sentinel.kafka_access import KafkaAccess
from sentinel.panes import SHARDS


class JobSettings(BaseSettings):
    """Addresses and switches of a job. Secrets never come from a command line."""

    model_config = SettingsConfigDict(env_prefix="SENTINEL_", extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated")
    kafka_group: str = Field("sentinel", description="prefix of the consumer groups")
    jdbc_url: str = Field("jdbc:postgresql://127.0.0.1:5432/sentinel", description="Postgres, without credentials")
    jdbc_user: str = "sentinel"
    jdbc_password: SecretStr = SecretStr("")
    jdbc_password_file: Path | None = Field(None, description="read instead of jdbc_password, as Kubernetes mounts secrets")
    opensearch_url: str = "http://127.0.0.1:9200"
    telemetry_topics: str = Field("llm-telemetry;llm-metrics", description="input topics, separated by ';'")
    lateness_ms: int = Field(2_000, ge=0, description="how far out of order events of a partition may arrive")
    idle_ms: int = Field(
        600_000, ge=100, description="after this long without records or pulses a partition no longer holds event time back"
    )
    keys_per_shard: int = Field(
        MAX_KEYS,
        ge=1,
        description=f"applications and models that each of {len(SHARDS)} shards watches; further ones are counted, and not watched",
    )
    restored_backend: Literal["hashmap", "rocksdb"] | None = Field(
        None, description="state backend that wrote the checkpoint to start from"
    )
    hop_delivery: str = Field("exactly-once", pattern="^(exactly-once|at-least-once)$", description="guarantee of the topics between jobs")

    @property
    def kafka(self) -> KafkaAccess:
        """Address and login. Raises KafkaAccessError."""
        return KafkaAccess.of(self.kafka_bootstrap)

    def database_password(self) -> str:
        """The password of `jdbc_user`."""
        return self.jdbc_password_file.read_text().strip() if self.jdbc_password_file else self.jdbc_password.get_secret_value()
