"""Requests to the alerting job: onto the topic `sentinel-control`, and the job's answer back from Postgres."""

from __future__ import annotations

import time
import uuid
from typing import Any

from confluent_kafka import KafkaException, Producer

from sentinel.alerting.control import Action, Control
from sentinel.kafka_access import librdkafka
from sentinel.timestamps import to_rfc3339
from services.alerts import store

TOPIC = "sentinel-control"
_POLL_S = 0.05


class RequestError(RuntimeError):
    """The request did not reach the job, or it does not answer."""


def new_control(action: Action, tenant_id: str, **fields: Any) -> Control:
    """A request with an id of its own, made now."""
    return Control(control_id=str(uuid.uuid4()), action=action, tenant_id=tenant_id, at=to_rfc3339(time.time_ns() // 1_000_000), **fields)


def send(bootstrap: str, control: Control, timeout_s: float = 10.0) -> None:
    """Write the request and wait until Kafka has it. Raises RequestError."""
    outcome: list[Any] = []
    settings: dict[str, Any] = {**librdkafka(bootstrap), "acks": "all", "delivery.timeout.ms": int(timeout_s * 1000), "log_level": 0}
    try:
        producer = Producer(settings)
        producer.produce(TOPIC, control.to_json(), control.tenant_id.encode(), on_delivery=lambda error, _: outcome.append(error))
        producer.flush(timeout_s + 2)
    except (KafkaException, BufferError) as error:
        raise RequestError(f"Kafka at {bootstrap}: {error}") from None
    if not outcome or outcome[0] is not None:
        reason = outcome[0].str() if outcome else f"no acknowledgement within {timeout_s:.0f} s"
        raise RequestError(f"Kafka at {bootstrap} did not take the request: {reason}")


def ask(bootstrap: str, dsn: str, control: Control, timeout_s: float = 10.0) -> store.Row:
    """Send a request and wait for the answer: `done`, `detail`, `answered_at`. Raises RequestError or AlertError."""
    send(bootstrap, control)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = store.answer(dsn, control.control_id)
        if found is not None:
            return found
        time.sleep(_POLL_S)
    raise RequestError(f"the alerting job did not answer within {timeout_s:.0f} s; the request stays on the topic (`sentinel jobs list`)")
