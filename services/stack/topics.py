"""Creates the Kafka topics that `schemas/topics.yaml` describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from services.stack.errors import StackError
from services.stack.paths import project_root


class TopicSpec(BaseModel):
    """Partitions and topic options of one topic."""

    model_config = ConfigDict(extra="forbid")

    partitions: int
    config: dict[str, int | str] = {}


class TopicFile(BaseModel):
    """Content of topics.yaml; `patterns` are name prefixes."""

    model_config = ConfigDict(extra="forbid")

    topics: dict[str, TopicSpec]
    patterns: dict[str, TopicSpec] = {}

    def spec(self, name: str) -> TopicSpec:
        """Description of a topic by name, else by prefix; raises StackError when there is none."""
        if name in self.topics:
            return self.topics[name]
        for prefix, spec in self.patterns.items():
            if name.startswith(prefix):
                return spec
        raise StackError(f"Topic '{name}' is neither in schemas/topics.yaml nor does it start with one of {', '.join(self.patterns)}.")


def topics_file() -> Path:
    """The committed description."""
    return project_root() / "schemas" / "topics.yaml"


def load_topics(path: Path | None = None) -> TopicFile:
    """Reads the description; raises StackError naming the file and the key that is wrong."""
    source = path or topics_file()
    try:
        content: Any = yaml.safe_load(source.read_text())
        return TopicFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise StackError(f"{source}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}.") from error


def ensure_topics(bootstrap: str, names: Sequence[str] | None = None) -> list[str]:
    """Creates the missing ones of `names` (default: all of topics.yaml); returns those created.

    Idempotent and safe to run twice at once. Raises StackError when the broker does not answer or refuses a topic.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    from sentinel.kafka_access import librdkafka
    from services.kafka_refusal import LoginRefusal

    description = load_topics()
    wanted = {name: description.spec(name) for name in (names if names is not None else description.topics)}
    refusal = LoginRefusal()
    settings: dict[str, Any] = {**librdkafka(bootstrap), "log_level": 0, "error_cb": refusal}
    admin = AdminClient(settings)
    try:
        missing = sorted(wanted.keys() - admin.list_topics(timeout=15).topics.keys())
    except KafkaException as error:
        admin.poll(0)
        raise StackError(f"Kafka at {bootstrap} did not answer within 15 s{refusal.text or f': {error.args[0].str()}'}.") from error
    if not missing:
        return []
    new = []
    for name in missing:
        options = {key: str(value) for key, value in wanted[name].config.items()}
        new.append(NewTopic(name, num_partitions=wanted[name].partitions, replication_factor=1, config=options))
    for name, future in admin.create_topics(new).items():
        try:
            future.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StackError(f"Kafka refused to create topic {name}: {error.args[0].str()}.") from error
    return missing
