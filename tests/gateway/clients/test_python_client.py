"""The Python client against a real gateway: what it sends, and that an application never notices when something is wrong."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llm_sentinel_client import Counts, Sentinel

from tests.support.doors import TOKEN, TOKENS, Doors, OpenDoors
from tests.support.kafka import free_port
from tests.support.waiting import wait_for

PACKAGE = Path(__file__).parents[3] / "clients" / "python"


class TooManyError(Exception):
    status_code = 429


def test_a_call_its_stream_its_failure_and_a_metric(doors: Doors) -> None:
    sentinel = Sentinel(doors.url, "shop", environment="prod", service_version="1.2", interval_s=0.05)
    with sentinel.call("gpt-4o", "What is 2+2?", parameters={"temperature": 0.5}, user_id="u-17", tags={"team": "a"}) as call:
        call.answered("Four.", prompt_tokens=1000, completion_tokens=500, finish_reason="stop", model="gpt-4o-2024-08-06")
    with sentinel.call("gpt-4o", session_id="s-4") as streamed:
        for piece in ("Fo", None, "ur."):
            streamed.streamed(piece)
    with pytest.raises(TooManyError), sentinel.call("gpt-4o") as failed:
        raise TooManyError("slow down")
    sentinel.metric("relevance", 0.25, unit="share", dimensions={"judge": "a"})
    assert sentinel.flush() and sentinel.counts == Counts(sent=5, refused=0, dropped=0, waiting=0)
    request, response, piecewise, error, metric = doors.events()
    assert request["data"] == {"model": "gpt-4o", "prompt": "What is 2+2?", "parameters": {"temperature": 0.5}}
    assert response["data"].pop("latency_ms") >= 0
    assert response["data"].pop("model") in ("gpt-4o", "gpt-4o-2024-08-06")
    assert response["data"] == {
        "status": "success",
        "response": "Four.",
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "finish_reason": "stop",
        "cost": 0.0075,
        "cost_source": "price_table",
    }
    assert request["correlation_id"] == response["correlation_id"] == call.correlation_id
    assert request["metadata"] == response["metadata"] == {"environment": "prod", "user_id": "u-17", "tags": {"team": "a"}}
    assert response["source"] == request["source"] and response["source"]["service"] == "shop" and response["source"]["version"] == "1.2"
    data = piecewise["data"]
    assert data["response"] == "Four." and 0 <= data["time_to_first_token_ms"] <= data["latency_ms"]
    assert error["data"] | {"latency_ms": 0} == {
        "error_type": "TooManyError",
        "message": "slow down",
        "status_code": 429,
        "model": "gpt-4o",
        "latency_ms": 0,
    }
    assert error["correlation_id"] == failed.correlation_id
    assert metric["data"] == {"metric_name": "relevance", "value": 0.25, "unit": "share", "dimensions": {"judge": "a"}}
    sentinel.close()


def test_events_wait_for_a_gateway_that_is_away_and_arrive_once(open_doors: OpenDoors) -> None:
    port = free_port()
    sentinel = Sentinel(f"http://127.0.0.1:{port}", "shop", interval_s=0.01)
    for number in range(250):
        sentinel.metric("m", number)
    assert not sentinel.flush(timeout_s=0.3) and sentinel.counts == Counts(0, 0, 0, 250)
    doors = open_doors(http_port=port)
    wait_for(lambda: sentinel.flush(1.0), 30, "the events arrive when the gateway is there")
    assert sentinel.counts == Counts(250, 0, 0, 0)
    stored = [one["data"]["value"] for one in doors.events()]
    assert sorted(stored) == list(range(250))
    sentinel.close()


def test_a_rate_limit_is_waited_for(open_doors: OpenDoors) -> None:
    doors = open_doors({"rateLimiting": {"maxEventsPerSecond": 100, "burstSize": 100}})
    sentinel = Sentinel(doors.url, "shop", interval_s=0.01)
    for number in range(250):
        sentinel.metric("m", number)
    wait_for(lambda: sentinel.flush(1.0), 30, "the rate lets the rest in")
    assert sentinel.counts == Counts(250, 0, 0, 0) and len(doors.events()) == 250
    assert doors.metric('sentinel_gateway_events_total{door="http",outcome="limited"}') > 0
    sentinel.close()


def test_batches_are_halved_for_a_gateway_with_a_smaller_limit(open_doors: OpenDoors) -> None:
    doors = open_doors({"protocols": {"http": {"maxBodySize": "20KB"}}})
    sentinel = Sentinel(doors.url, "shop", interval_s=0.1)
    for number in range(40):
        sentinel.event("llm.request", {"model": "m", "prompt": f"{number} " + "x" * 2_000})
    sentinel.event("llm.request", {"model": "m", "prompt": "y" * 30_000})
    assert sentinel.flush(20)
    assert sentinel.counts == Counts(sent=40, refused=1, dropped=0, waiting=0) and len(doors.events()) == 40
    sentinel.close()


def test_refusals_are_counted_and_said_once(open_doors: OpenDoors, caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors({"authentication": TOKENS})
    with caplog.at_level(logging.WARNING, "llm_sentinel_client"):
        stranger = Sentinel(doors.url, "shop", interval_s=0.01)
        for _ in range(3):
            stranger.metric("m", 1)
            assert stranger.flush()
        assert stranger.counts == Counts(0, 3, 0, 0)
        assert len(caplog.messages) == 1 and "401" in caplog.messages[0]
        known = Sentinel(doors.url, "shop", token=TOKEN, tenant="globex", interval_s=0.2)
        known.metric("m", 1)
        known.event("llm.response", {"status": "success", "latency_ms": "soon"})
        assert known.flush() and known.counts == Counts(1, 1, 0, 0)
        assert "$.data.latency_ms" in caplog.messages[-1] and TOKEN not in caplog.text
    assert [one["tenant_id"] for one in doors.events()] == ["globex"]
    stranger.close()
    known.close()


def test_nothing_that_it_is_given_raises(doors: Doors) -> None:
    sentinel = Sentinel(doors.url, "shop", interval_s=0.01)
    circle: dict[str, Any] = {}
    circle["self"] = circle
    sentinel.event("llm.metric", circle)
    sentinel.metric("m", float("nan"))
    sentinel.event("llm.request", None)  # type: ignore[arg-type]
    with sentinel.call("m", "half of a pair: \ud83d", tags={"of": object()}) as call:  # type: ignore[dict-item]
        call.answered(object(), prompt_tokens="three")  # type: ignore[arg-type]
        call.streamed(7)  # type: ignore[arg-type]
    assert sentinel.flush()
    counts = sentinel.counts
    assert counts.dropped == 3 and counts.sent + counts.refused == 2 and counts.waiting == 0
    sentinel.close()
    sentinel.metric("m", 1)
    assert sentinel.counts.dropped == 4


def test_memory_is_bounded_and_the_newest_stay(open_doors: OpenDoors) -> None:
    port = free_port()
    sentinel = Sentinel(f"http://127.0.0.1:{port}", "shop", most_waiting=150, interval_s=60)
    for number in range(1_000):
        sentinel.metric("m", number)
    counts = sentinel.counts
    assert 150 <= counts.waiting <= 250 and counts.dropped == 1_000 - counts.waiting, "a batch may be on its way"
    doors = open_doors(http_port=port)
    wait_for(lambda: sentinel.flush(1.0), 40, "what is left arrives")
    assert max(one["data"]["value"] for one in doors.events()) == 999
    sentinel.close()


def test_settings_are_judged_at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("SENTINEL_ENDPOINT", "SENTINEL_APPLICATION"):
        monkeypatch.delenv(name, raising=False)
    for wrong in ("127.0.0.1:8080", "file:///etc/passwd", "http://"):
        with pytest.raises(ValueError, match="http://host:port"):
            Sentinel(wrong, "shop")
    with pytest.raises(ValueError, match="SENTINEL_APPLICATION"):
        Sentinel("http://127.0.0.1:1")
    nowhere = Sentinel(application="shop")
    with nowhere.call("m", "p") as call:
        call.answered("a")
    assert nowhere.flush() and nowhere.counts == Counts(0, 0, 0, 0) and "SENTINEL_ENDPOINT" in caplog.text


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """Runs a program with the package as a user installs it, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("client")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--no-build-isolation", "--target", str(folder / "site"))
    source = folder / "source"
    subprocess.run(["cp", "-r", str(PACKAGE), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)

    def run(program: str, endpoint: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder / "site"),
            "SENTINEL_ENDPOINT": endpoint,
            "SENTINEL_APPLICATION": "app",
        }
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def test_the_end_of_a_process_sends_what_waits(doors: Doors, installed: Callable[[str, str], str]) -> None:
    said = installed(
        "from llm_sentinel_client import Sentinel\ns = Sentinel(interval_s=60)\nfor n in range(230): s.metric('m', n)", doors.url
    )
    assert said == "" and len(doors.events()) == 230


def test_an_exit_without_a_gateway_is_not_held_up(installed: Callable[[str, str], str]) -> None:
    said = installed(
        "from llm_sentinel_client import Sentinel\nSentinel(exit_timeout_s=0.2).metric('m', 1)", f"http://127.0.0.1:{free_port()}"
    )
    assert "1 events were not sent" in said


FORK = """
import os
from llm_sentinel_client import Sentinel
sentinel = Sentinel(interval_s=60)
sentinel.metric("before", 0)
child = os.fork()
sentinel.metric("after", child > 0)
sentinel.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""


def test_a_forked_process_sends_its_own_events_and_no_others(doors: Doors, installed: Callable[[str, str], str]) -> None:
    installed(FORK.replace("child > 0", "int(child > 0)"), doors.url)
    assert sorted((one["data"]["metric_name"], one["data"]["value"]) for one in doors.events()) == [
        ("after", 0),
        ("after", 1),
        ("before", 0),
    ]


def test_redirects_do_not_carry_the_token_away(doors: Doors) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    seen: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append("first")
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(302)
            self.send_header("location", f"{doors.url}/livez")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sentinel = Sentinel(f"http://127.0.0.1:{server.server_address[1]}", "shop", token=TOKEN, interval_s=0.01)
        sentinel.metric("m", 1)
        assert sentinel.flush() and sentinel.counts == Counts(0, 1, 0, 0) and seen == ["first"]
        sentinel.close()
    finally:
        server.shutdown()
        server.server_close()


def test_the_events_are_those_of_the_schema(doors: Doors) -> None:
    import jsonschema

    schema = json.loads((PACKAGE.parents[1] / "schemas" / "json" / "telemetry-event.schema.json").read_text())
    sentinel = Sentinel(doors.url, "shop", interval_s=0.01)
    with sentinel.call("gpt-4o", "p", user_id="u") as call:
        call.answered("a", total_tokens=3)
    sentinel.metric("m", 1)
    assert sentinel.flush()
    for one in doors.events():
        jsonschema.validate(one, schema)
    sentinel.close()
