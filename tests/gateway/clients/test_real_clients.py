"""Every snippet of docs/integrations.md with the real library: it calls a model, and what is stored of a call is what the table there says.

SENTINEL_WRITE_DOCS=1 writes the table anew.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.config.model import SentinelConfig
from sentinel.events.decode import decode_batch
from sentinel.events.enrichment import Enrichment
from services.gateway.settings import enrichment_of
from tests.gateway.clients.libraries import LibrariesMissingError, python_with_libraries
from tests.gateway.clients.programs import BEGIN, END, PAGE, QUESTION, SECTIONS, at_ports, snippet, with_three_calls
from tests.gateway.clients.table import CASES, Call, fields_of, rendered
from tests.support.doors import Doors
from tests.support.fake_llm import FakeLlm
from tests.support.streams import Stored

CLIENT = Path(__file__).parents[3] / "clients" / "python"
NAMES = {heading: heading.split(" (")[0].replace("'s own instrumentation of OpenAI", "") for heading in SECTIONS}


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter with the client libraries."""
    try:
        return python_with_libraries()
    except LibrariesMissingError as error:
        pytest.skip(f"the client libraries cannot be installed here: {error}")


@pytest.fixture(scope="module")
def llm() -> Iterator[FakeLlm]:
    started = FakeLlm()
    yield started
    started.close()


_seen: dict[str, dict[str, Call]] = {}


@pytest.fixture
def run(doors: Doors, python: Path, llm: FakeLlm) -> Any:
    """Runs a program of the documents, in an environment that knows where the model is and nothing else."""
    numbers = doors.running.ports
    ports = {8080: numbers["http"], 4318: numbers["otlp-http"], 4317: numbers["otlp-grpc"], 9092: int(doors.bootstrap.rpartition(":")[2])}
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(CLIENT),
        "OPENAI_BASE_URL": llm.url,
        "OPENAI_API_KEY": "sk-any",
        # It would be fetched otherwise.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }

    def start(program: str) -> None:
        command = [str(python), "-W", "ignore", "-c", at_ports(program, ports, doors.topic)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    return start


def calls_of(doors: Doors, application: str) -> dict[str, Call]:
    """The three calls of an application, in the order in which they were made."""
    calls: dict[str, list[dict[str, Any]]] = {}
    for one in admitted(doors.records()):
        assert one["application_id"] == application and one["event_type"] != "llm.trace", one
        calls.setdefault(one["correlation_id"], []).append(one)
    ordered = sorted(calls.values(), key=lambda events: min(one["timestamp"] for one in events))
    kinds = [sorted(one["event_type"] for one in events) for events in ordered]
    assert kinds == [["llm.request", "llm.response"], ["llm.request", "llm.response"], ["llm.error", "llm.request"]]
    return {case: fields_of(events) for case, events in zip(CASES, ordered, strict=True)}


def admitted(records: list[Stored]) -> list[dict[str, Any]]:
    """Events as they are behind the ingestion job, which does to those of kafka-python what the doors did to the others."""
    job: Enrichment = enrichment_of(SentinelConfig())
    now_ms = time.time_ns() // 1_000_000
    decoded = decode_batch([record.value for record in records], [now_ms] * len(records), normaliser=job.normaliser)
    assert not decoded.rejects
    return [
        Stored(records[row].place, now_ms, None, job.finish(decoded.rewritten.get(row) or records[row].value, event)).json()
        for row, event in zip(decoded.rows, decoded.events, strict=True)
    ]


def seen(heading: str, run: Any, doors: Doors) -> dict[str, Call]:
    if heading not in _seen:
        run(with_three_calls(snippet(heading)))
        _seen[heading] = calls_of(doors, SECTIONS[heading])
    return _seen[heading]


@pytest.mark.parametrize("heading", SECTIONS, ids=NAMES.values())
def test_a_success_a_stream_and_a_failure_come_in(heading: str, run: Any, doors: Doors, llm: FakeLlm) -> None:
    calls = seen(heading, run, doors)
    for case in ("success", "streamed"):
        call = calls[case]
        assert call["model"].startswith("gpt-4o-mini") and call["response"] == "Four, of course.", call
        assert (call["prompt_tokens"], call["completion_tokens"], call["total_tokens"]) == (11, 4, 15), call
        assert call["cost"] == pytest.approx(11 * 0.15e-6 + 4 * 0.6e-6), "tokens at the price of the model"
        assert call["status"] == "success" and call["latency_ms"] > 0
    assert calls["success"]["prompt"] == QUESTION and calls["streamed"]["prompt"] == "Count to four."
    first_ms = calls["streamed"].get("time_to_first_token_ms")
    assert first_ms is None or 0 < first_ms <= calls["streamed"]["latency_ms"]
    failed = calls["failed"]
    assert failed["error_type"] in ("RateLimitError", "429") and failed["status_code"] == 429, failed
    assert failed["model"] == "gpt-4o-mini" and "Rate limit reached" in failed["message"]
    assert [body.get("stream", False) for _, body in llm.requests[-3:]] == [False, True, False]


def test_the_same_by_grpc(run: Any, doors: Doors) -> None:
    """The other door of OpenTelemetry brings in the same fields."""
    heading = "OpenTelemetry's own instrumentation of OpenAI"
    by_http = seen(heading, run, doors)
    doors.begin()
    program = with_three_calls(snippet(heading)).replace("proto.http.trace", "proto.grpc.trace")
    run(program.replace("127.0.0.1:4318/v1/traces", "127.0.0.1:4317"))
    by_grpc = calls_of(doors, SECTIONS[heading])
    assert {case: call.keys() for case, call in by_grpc.items()} == {case: call.keys() for case, call in by_http.items()}


def test_a_snippet_runs_as_it_stands(run: Any, doors: Doors) -> None:
    """Those above have their one call replaced by three."""
    for heading in ("Traceloop (OpenLLMetry)", "Langfuse"):
        doors.begin()
        run(snippet(heading))
        assert sorted(one["event_type"] for one in doors.events()) == ["llm.request", "llm.response"], heading


def test_curl(doors: Doors) -> None:
    program = at_ports(snippet("curl", "bash"), {8080: doors.running.ports["http"]}, doors.topic)
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and '"accepted":2' in done.stdout, done
    assert [one["event_type"] for one in doors.events()] == ["llm.response", "llm.error"]


def test_the_table_of_the_documents_is_what_came_through(run: Any, doors: Doors) -> None:
    table = rendered({NAMES[heading]: _again(heading, run, doors) for heading in SECTIONS})
    before, _, rest = PAGE.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("SENTINEL_WRITE_DOCS") == "1":
        PAGE.write_text(before + BEGIN + table + END + after)
        written = table
    assert written == table, "SENTINEL_WRITE_DOCS=1 writes it anew"


def _again(heading: str, run: Any, doors: Doors) -> dict[str, Call]:
    doors.begin()
    return seen(heading, run, doors)
