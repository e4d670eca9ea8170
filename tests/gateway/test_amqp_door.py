"""The AMQP consumer with a real RabbitMQ, where one is installed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

import pytest

from services.gateway.amqp_door import MAX_BODY_BYTES
from services.gateway.service import DEAD_LETTERS
from tests.support.doors import OpenDoors, event, lines
from tests.support.kafka import Broker
from tests.support.rabbit import left_in_queue, publish, running_rabbit
from tests.support.streams import end_offsets, read_topic
from tests.support.waiting import wait_for

QUEUE = "telemetry"


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_rabbit(tmp_path_factory.mktemp("rabbit")) as url:
        yield url


@pytest.fixture(scope="module")
def letters_topic(broker: Broker) -> str:
    return broker.topic(DEAD_LETTERS, partitions=1)


def test_messages_arrive_and_bad_ones_are_buried_with_their_reason(
    rabbit: str, broker: Broker, letters_topic: str, open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = end_offsets(broker.bootstrap, letters_topic)
    monkeypatch.setenv("TEST_AMQP_URL", rabbit)
    good = [event() for _ in range(6)]
    bad, foreign = event(data={"status": "success"}), event(tenant_id="initech")
    publish(
        rabbit,
        QUEUE,
        [
            (json.dumps(good[0]).encode(), {}),
            (json.dumps(good[1:3]).encode(), {"content_type": "application/json"}),
            (gzip.compress(lines([good[3], bad, good[4], foreign])), {"content_type": "application/x-ndjson", "content_encoding": "gzip"}),
            (b"[not JSON at all", {}),
            (b"\x1f\x8bcut", {"content_encoding": "gzip"}),
        ],
    )
    doors = open_doors({"protocols": {"amqp": {"enabled": True, "url": "${TEST_AMQP_URL}", "queue": QUEUE, "tenant": "acme"}}})
    wait_for(
        lambda: doors.metric('sentinel_gateway_events_total{door="amqp",outcome="accepted"}'), 30, "events by AMQP", until=lambda n: n == 5
    )
    publish(rabbit, QUEUE, [(json.dumps(good[5]).encode(), {})])
    wait_for(lambda: len(doors.events()), 30, "the sixth event", until=lambda found: found == 6)
    assert sorted(one["event_id"] for one in doors.events()) == sorted(one["event_id"] for one in good)
    assert {one["tenant_id"] for one in doors.events()} == {"acme"}
    letters = wait_for(lambda: read_topic(broker.bootstrap, letters_topic, start), 30, "dead letters", until=lambda n: len(n) == 4)
    by_path = {(letter := record.json())["path"]: letter for record in letters}
    assert {"$.data.latency_ms", "$.tenant_id", "(body)"} == set(by_path)
    assert json.loads(base64.b64decode(by_path["$.data.latency_ms"]["original_base64"])) == bad
    assert by_path["$.data.latency_ms"]["topic"] == f"amqp:{QUEUE}"
    assert left_in_queue(rabbit, QUEUE) == 0


def test_what_no_event_can_be_read_from_is_a_dead_letter(
    rabbit: str, broker: Broker, letters_topic: str, open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The column AMQP of the table in docs/ingestion.md."""
    start = end_offsets(broker.bootstrap, letters_topic)
    monkeypatch.setenv("TEST_AMQP_URL", rabbit)
    zipped = {"content_type": "application/json", "content_encoding": "gzip"}
    faults = {
        "cut off": (gzip.compress(lines([event()]))[:-20], zipped),
        "after unzipping": (gzip.compress(bytes(50_000_000)), zipped),
        f"{MAX_BODY_BYTES:,} bytes": (b" " * (MAX_BODY_BYTES + 1), {}),
        "deep": (b"[" * 10_000 + b"]" * 10_000, {"content_type": "text/plain"}),
        "invalid": (b"[\xff]", {}),
    }
    doors = open_doors({"protocols": {"amqp": {"enabled": True, "url": "${TEST_AMQP_URL}", "queue": QUEUE, "tenant": "acme"}}})
    publish(rabbit, QUEUE, [*faults.values(), (json.dumps(event()).encode(), {"content_type": "text/plain"})])
    wait_for(lambda: len(doors.events()), 60, "the good message after them", until=lambda found: found == 1)
    letters = wait_for(
        lambda: read_topic(broker.bootstrap, letters_topic, start), 30, "dead letters", until=lambda found: len(found) == len(faults)
    )
    for said, (body, _) in faults.items():
        [letter] = [one for record in letters if (one := record.json())["original_bytes"] == len(body)]
        assert letter["path"] == "(body)" and said in letter["reason"], letter["reason"]
        assert letter["truncated"] == (len(body) > MAX_BODY_BYTES)
        assert base64.b64decode(letter["original_base64"]) == body[:MAX_BODY_BYTES]


def test_without_kafka_messages_stay_in_the_queue(rabbit: str, lonely_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_AMQP_URL", rabbit)
    publish(rabbit, QUEUE, [(json.dumps(event()).encode(), {})])
    amqp = {"enabled": True, "url": "${TEST_AMQP_URL}", "queue": QUEUE}
    doors = lonely_doors({"protocols": {"amqp": amqp}, "buffer": {"overflow": {"enabled": False}}})
    wait_for(lambda: doors.metric('sentinel_gateway_events_total{door="amqp",outcome="unavailable"}'), 30, "the message to be tried")
    doors.close()
    wait_for(lambda: left_in_queue(rabbit, QUEUE), 30, "the message to come back to the queue", until=lambda found: found == 1)
