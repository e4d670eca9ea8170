"""A thousand bad records among ten thousand good ones, sent at present time: all good ones count, no bad one is lost, the job does not notice."""

from __future__ import annotations

import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.support.stack import Stack
from tests.support.streams import PARTITIONS, TELEMETRY, Place, Sent, end_offsets
from tests.support.telemetry import record, request, response, ticks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TENANT = f"bad-{uuid4().hex[:8]}"
GOOD, BAD, RATE = 10_000, 1_000, 1_500
YEAR_1970_MS = 86_400_000
YEAR_2100_MS = 4_102_444_800_000
RECORD_TIME = "(record timestamp)"


class Bad(NamedTuple):
    """A malformed record and the JSON path under which it must be reported."""

    kind: str
    path: str
    value: bytes | None
    timestamp_ms: int


def _event(now_ms: int, **changes: Any) -> dict[str, Any]:
    return response(now_ms, TENANT, "door") | changes


def _bytes(content: Any) -> bytes:
    return json.dumps(content).encode()


def _without(now_ms: int, name: str) -> bytes:
    content = _event(now_ms)
    del content[name]
    return _bytes(content)


def _data(now_ms: int, **changes: Any) -> bytes:
    content = _event(now_ms)
    content["data"] |= changes
    return _bytes(content)


def _padded(now_ms: int, size: int) -> bytes:
    content = _event(now_ms)
    content["data"]["response"] = ""
    content["data"]["response"] = "x" * (size - len(_bytes(content)))
    return _bytes(content)


KINDS: dict[str, tuple[str, Callable[[int], bytes | None]]] = {
    "broken JSON": ("$", lambda now: _bytes(_event(now))[:-20]),
    "no JSON": ("$", lambda now: b"\x00\x01\x02 hello"),
    "empty": ("$", lambda now: b""),
    "null value": ("$", lambda now: None),
    "an array": ("$", lambda now: _bytes([_event(now)])),
    "invalid UTF-8": ("$", lambda now: _bytes(_event(now)).replace(b'"door"', b'"do\xff\xfeor"')),
    "deep nesting": ("$", lambda now: b"[" * 100_000),
    "deep nesting inside": ("$", lambda now: _bytes(_event(now))[:-1] + b', "extra": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}"),
    "text as number": ("$.data.latency_ms", lambda now: _data(now, latency_ms="fast")),
    "number as text": ("$.application_id", lambda now: _bytes(_event(now, application_id=42))),
    "list as object": ("$.data", lambda now: _bytes(_event(now, data=[]))),
    "negative latency": ("$.data.latency_ms", lambda now: _data(now, latency_ms=-5)),
    "absurd tokens": ("$.data.total_tokens", lambda now: _data(now, total_tokens=10**30)),
    "absurd cost": ("$.data.cost", lambda now: _data(now, cost=1e300)),
    "not a number": ("$", lambda now: _bytes(_event(now)).replace(b"800.0", b"NaN")),
    "infinity": ("$", lambda now: _bytes(_event(now)).replace(b"800.0", b"-Infinity")),
    "beyond any number": ("$.data.latency_ms", lambda now: _bytes(_event(now)).replace(b"800.0", b"1e999")),
    "no source": ("$.source", lambda now: _without(now, "source")),
    "no event type": ("$.event_type", lambda now: _without(now, "event_type")),
    "no latency": ("$.data.latency_ms", lambda now: _data(now, latency_ms=None)),
    "unknown event type": ("$.event_type", lambda now: _bytes(_event(now, event_type="llm.dance"))),
    "unknown status": ("$.data.status", lambda now: _data(now, status="perhaps")),
    "unknown environment": ("$.metadata.environment", lambda now: _bytes(_event(now, metadata={"environment": "moon"}))),
    "no UUID": ("$.event_id", lambda now: _bytes(_event(now, event_id="seven"))),
    "separator in a name": ("$.tenant_id", lambda now: _bytes(_event(now, tenant_id="a|b"))),
    "body of 1970": ("$.timestamp", lambda now: _bytes(_event(now, timestamp="1970-01-02T00:00:00Z"))),
    "body of 2100": ("$.timestamp", lambda now: _bytes(_event(now, timestamp="2100-01-01T00:00:00Z"))),
    "no time zone": ("$.timestamp", lambda now: _bytes(_event(now, timestamp="2026-01-01T00:00:00"))),
    "record of 1970": (RECORD_TIME, lambda now: _bytes(_event(now))),
    "record of 2100": (RECORD_TIME, lambda now: _bytes(_event(now))),
}
RECORD_TIMES = {"record of 1970": YEAR_1970_MS, "record of 2100": YEAR_2100_MS}
LARGE = {"2 MB": 2_000_000, "5 MB": 5_000_000}


def _bad_records(now_ms: int) -> list[Bad]:
    found = [Bad(kind, "$", _padded(now_ms, size), now_ms) for kind, size in LARGE.items()]
    names = list(KINDS)
    while len(found) < BAD:
        kind = names[len(found) % len(names)]
        path, make = KINDS[kind]
        found.append(Bad(kind, path, make(now_ms), RECORD_TIMES.get(kind, now_ms)))
    return found


def _good_record(number: int) -> Sent:
    """Stamped with the present: every application and partition has a stream of its own."""
    at_ms = round(time.time() * 1000)
    make = request if number % 4 == 0 else response
    return record(make(at_ms, TENANT, f"app-{number % 12}"), at_ms)


def _paced(mixed: list[int | Bad], chance: random.Random) -> Iterator[Sent]:
    """About `RATE` a second; numbers stand for good records, which are made when their turn comes."""
    began = time.monotonic()
    for count, one in enumerate(mixed):
        if count % 20 == 0:
            time.sleep(max(0.0, began + count / RATE - time.monotonic()))
        yield _good_record(one) if isinstance(one, int) else Sent(one.value, one.timestamp_ms, None, chance.randrange(PARTITIONS))


class Outcome(NamedTuple):
    bad: dict[Place, Bad]
    letters: dict[Place, dict[str, Any]]
    """Dead letters by the place of the original."""


@pytest.fixture(scope="module")
def outcome(stack: Stack) -> Outcome:
    """Sends everything, well mixed, and waits for the dead letters."""
    # A broker of Kafka 4 refuses records from the future by itself; brokers in the field often do not.
    _allow_the_future(stack)
    start = end_offsets(stack.endpoints.kafka_bootstrap, "llm-telemetry-dlq")
    # All partitions are awake before the first record, as in a system that runs.
    for _ in range(10):
        stack.produce(ticks(round(time.time() * 1000)))
        time.sleep(0.3)
    # Every input of the job says 2100 at least once: no partition is left whose sound event time could hold the others back.
    stack.produce([Sent(b"{}", YEAR_2100_MS, None, partition) for partition in range(PARTITIONS)], "llm-metrics")
    chance = random.Random(5)
    bad = _bad_records(round(time.time() * 1000))
    mixed: list[int | Bad] = list(range(GOOD))
    for one in bad:
        mixed.insert(chance.randrange(len(mixed)), one)
    places = stack.produce(_paced(mixed, chance))
    mine = {place: one for place, one in zip(places, mixed, strict=True) if isinstance(one, Bad)}

    def letters() -> dict[Place, dict[str, Any]]:
        found = [stored.json() for stored in stack.topic("llm-telemetry-dlq", start)]
        return {Place(letter["partition"], letter["offset"]): letter for letter in found if letter["topic"] == TELEMETRY}

    wait_for(lambda: len(letters().keys() & mine.keys()), 180, "1,000 dead letters", until=lambda count: count >= BAD, pause_s=3.0)
    return Outcome(mine, letters())


def test_every_bad_record_is_a_dead_letter_with_its_place_reason_and_bytes(outcome: Outcome) -> None:
    assert outcome.letters.keys() == outcome.bad.keys(), "places of dead letters and of bad records"
    wrong = []
    for place, bad in outcome.bad.items():
        letter = outcome.letters[place]
        original = base64.b64decode(letter["original_base64"], validate=True)
        if (letter["path"], original, letter["original_bytes"]) != (bad.path, bad.value or b"", len(bad.value or b"")):
            wrong.append((bad.kind, bad.path, letter["path"], letter["expected"], letter["found"][:100], len(original)))
        assert letter["expected"] and letter["found"] and letter["reason"], (bad.kind, letter["path"])
        assert not letter["truncated"]
    assert not wrong, wrong[:10]
    assert Counter(bad.kind for bad in outcome.bad.values())["5 MB"] == 1


def test_all_good_ones_are_counted_on_time(stack: Stack, outcome: Outcome) -> None:
    def counted() -> dict[str, int]:
        found = stack.counters(TENANT)
        return {kind: count for kind, count in found.items() if kind != "dlq"}

    # No later record is sent: the minute closes by the pulse once it is over.
    wait_for(counted, 240, "10,000 good events", until=lambda found: sum(found.values()) == GOOD, pause_s=2.0)
    assert counted() == {"valid": GOOD}, "the record of 2100 must not make others late"
    sql = "SELECT part, sum(events)::bigint FROM sentinel.rollups_1m WHERE tenant_id = %s GROUP BY part"
    wait_for(lambda: stack.rows(sql, TENANT), 120, "rollups of the good ones", until=lambda rows: rows == [("on_time", GOOD)])


def test_the_job_did_not_restart(stack: Stack, outcome: Outcome) -> None:
    stack.require_undisturbed("standalone")


def test_counters_name_the_refused_ones_too(stack: Stack, outcome: Outcome) -> None:
    own = sum(letter["tenant_id"] == TENANT for letter in outcome.letters.values())
    wait_for(lambda: stack.counters(TENANT).get("dlq"), 60, "refused records of the tenant", until=lambda count: count == own)
    assert own > BAD // 2


def test_dlq_list_and_show(stack: Stack, outcome: Outcome, tmp_path: Path) -> None:
    listed = json.loads(stack.sentinel("dlq", "list", "--limit", "100000", "-o", "json").stdout)
    ids = {Place(entry["partition"], entry["offset"]): entry["id"] for entry in listed if entry["topic"] == TELEMETRY}
    assert outcome.bad.keys() <= ids.keys()
    by_kind = {bad.kind: place for place, bad in outcome.bad.items()}
    for kind in ("5 MB", "invalid UTF-8", "null value"):
        place = by_kind[kind]
        shown = stack.sentinel("dlq", "show", ids[place], "--raw").stdout
        assert shown == (outcome.bad[place].value or b"")
    text = stack.sentinel("dlq", "show", ids[by_kind["text as number"]]).stdout.decode()
    assert "$.data.latency_ms" in text and "fast" in text and str(by_kind["text as number"].offset) in text


def test_dlq_replay_sends_the_same_bytes_again(stack: Stack, outcome: Outcome) -> None:
    listed = json.loads(stack.sentinel("dlq", "list", "--limit", "100000", "-o", "json").stdout)
    ids = {Place(entry["partition"], entry["offset"]): entry["id"] for entry in listed if entry["topic"] == TELEMETRY}
    place = next(place for place, bad in outcome.bad.items() if bad.kind == "record of 2100")
    start = end_offsets(stack.endpoints.kafka_bootstrap, TELEMETRY)
    before = stack.counters(TENANT)
    # The body is sound and only the record's time was wrong: with the present time the event is accepted.
    said = stack.sentinel("dlq", "replay", ids[place], "--now").stdout.decode()
    assert said.startswith("1 sent again")
    again = [stored for stored in stack.topic(TELEMETRY, start) if stored.value == outcome.bad[place].value]
    assert len(again) == 1 and again[0].place.partition == place.partition
    gained = wait_for(
        lambda: Counter(stack.counters(TENANT)) - Counter(before),
        240,
        "the replayed event to count",
        until=lambda found: sum(found.values()) == 1,
    )
    assert gained["dlq"] == 0, "the replayed event was accepted"


def _allow_the_future(stack: Stack) -> None:
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    admin = AdminClient({"bootstrap.servers": stack.endpoints.kafka_bootstrap, "log_level": 0})
    limit = ConfigEntry("message.timestamp.after.max.ms", str(2**63 - 1), incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[limit]) for topic in (TELEMETRY, "llm-metrics")]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)
