"""How long it takes until what people ask for is in force: acknowledgements of alerts, and silences.

In force is what the job answers with its own clock, which is this machine's: from handing the request to Kafka to that moment.
"""

from __future__ import annotations

import time
import uuid

import psycopg
from confluent_kafka import Producer

from bench.figures import summary
from bench.stack import BenchStack
from sentinel.alerting.control import Control
from sentinel.timestamps import from_rfc3339, to_rfc3339

REQUESTS = 40
GAP_S = 0.25


def run(stack: BenchStack) -> dict[str, float]:
    """Milliseconds over acknowledgements of firing alerts and silences in turn. Raises SystemExit when requests stay without an answer."""
    producer = Producer({"bootstrap.servers": stack.bootstrap, "linger.ms": 0})
    with psycopg.connect(stack.endpoints.postgres_dsn, autocommit=True) as connection:
        firing = connection.execute(
            "SELECT tenant_id, alert_id::text, group_key FROM sentinel.alerts WHERE status = 'firing' ORDER BY updated_at DESC LIMIT %s",
            (REQUESTS // 2,),
        ).fetchall()
        sent: dict[str, int] = {}
        for tenant, alert, key in firing:
            now_ms = time.time_ns() // 1_000_000
            common = {"tenant_id": tenant, "at": to_rfc3339(now_ms), "by": "bench"}
            silence = f"bench-{uuid.uuid4().hex[:8]}"
            for control in (
                Control(control_id=str(uuid.uuid4()), action="ack", alert_id=alert, group_key=key, **common),
                Control(
                    control_id=str(uuid.uuid4()),
                    action="silence",
                    silence_id=silence,
                    matchers=[f'application_id="{silence}"'],
                    until_ms=now_ms + 600_000,
                    **common,
                ),
            ):
                sent[control.control_id] = time.time_ns() // 1_000_000
                producer.produce("sentinel-control", control.to_json(), control.control_id)
                producer.flush(10)
                time.sleep(GAP_S)
        answered = _answers(connection, list(sent))
    return {name: round(value, 1) for name, value in summary([float(answered[key] - at) for key, at in sent.items()]).items()}


def _answers(connection: psycopg.Connection[tuple[object, ...]], wanted: list[str]) -> dict[str, int]:
    deadline = time.monotonic() + 30
    while True:
        rows = connection.execute(
            "SELECT control_id::text, answered_at, done FROM sentinel.alert_controls WHERE control_id::text = ANY(%s)", (wanted,)
        ).fetchall()
        if len(rows) == len(wanted):
            refused = [row[0] for row in rows if str(row[2]).lower() != "true"]
            if refused:
                raise SystemExit(f"bench: {len(refused)} of {len(wanted)} requests were refused")
            return {str(row[0]): from_rfc3339(row[1].isoformat()) for row in rows}  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {len(wanted) - len(rows)} of {len(wanted)} requests stay without an answer")
        time.sleep(0.2)
