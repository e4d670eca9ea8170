"""Our commands and services at a broker that wants TLS, a client certificate and SCRAM-SHA-512; the open listener shows what arrived."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from sentinel.config.load import default_config
from sentinel.kafka_access import LOGIN_VARIABLES, KafkaAccess
from services.alerts import requests
from services.cli.main import run
from services.config_service.topic import publish_snapshot
from services.dispatcher.config_watch import config_in_force
from services.dlq import scan
from services.stack.topics import ensure_topics
from tests.support.doors import event
from tests.support.kafka import running
from tests.support.secured_kafka import PASSWORD, SecuredBroker
from tests.support.streams import end_offsets, read_topic
from tests.support.waiting import wait_for
from udfs.config_watch import read_snapshot


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with running(SecuredBroker, tmp_path_factory.mktemp("secured-kafka")) as started:
        ensure_topics(started.bootstrap)
        publish_snapshot(started.bootstrap, 7, default_config().config.to_snapshot())
        yield started


@pytest.fixture(params=["password in a file", "password in the environment"])
def login(request: pytest.FixtureRequest, broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = broker.variables() if "file" in request.param else broker.variables_with_password()
    _set(monkeypatch, variables)
    return variables


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in LOGIN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _records(broker: SecuredBroker, topic: str) -> int:
    return sum(end_offsets(broker.bootstrap, topic).values())


def test_commands_write_and_read(broker: SecuredBroker, login: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    before = _records(broker, "llm-telemetry")
    assert run(["generate", "--events=20", "--rate=20", "--speed=max"]) == 0
    assert _records(broker, "llm-telemetry") == before + 20
    assert run(["dlq", "list", "-o", "json"]) == 0
    requests.send(broker.secured, requests.new_control("ack", "acme", alert_id="a"))
    assert b'"acme"' in read_topic(broker.bootstrap, requests.TOPIC)[-1].value
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err


def test_the_configuration_is_followed(broker: SecuredBroker, login: dict[str, str]) -> None:
    assert config_in_force(broker.secured)[0] == 7
    assert json.loads(read_snapshot(KafkaAccess.of(broker.secured)))["version"] == 7


def test_services_write_and_show_no_password(broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _set(monkeypatch, broker.variables_with_password())
    before = _records(broker, "llm-telemetry")
    doors = [f"--{door}-port=0" for door in ("grpc", "http", "otlp-grpc", "otlp-http")]
    command = ["services.cli.main", "gateway", *doors, f"--data={tmp_path / 'gateway'}"]
    with _service(tmp_path / "gateway.log", command) as gateway:
        started = wait_for(lambda: _line(tmp_path / "gateway.log", '"started"'), 60, "the gateway")
        assert PASSWORD not in " ".join(psutil.Process(gateway.pid).cmdline())
        sent = httpx.post(f"http://127.0.0.1:{started['ports']['http']}/api/v1/telemetry/events", json=event(), timeout=30)
        assert sent.status_code == 202, sent.text
    assert _records(broker, "llm-telemetry") == before + 1
    with _service(tmp_path / "pulse.log", ["services.pulse"]):
        wait_for(lambda: _records(broker, "llm-telemetry"), 60, "a pulse on the quiet topic", until=lambda found: found > before + 1)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


def test_a_wrong_password_is_told_as_such(
    broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _set(monkeypatch, broker.variables_with_password("not-the-password"))
    monkeypatch.setattr(scan, "CONNECT_TIMEOUT_S", 3.0)
    assert run(["dlq", "list"]) == 1
    said = capsys.readouterr().err
    assert "the login was refused" in said and "invalid credentials" in said
    assert "not-the-password" not in said


def test_a_login_without_ca_starts_nothing(
    broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _set(monkeypatch, broker.variables() | {"SENTINEL_KAFKA_CA_FILE": ""})
    assert run(["generate", "--events=1", "--rate=1", "--speed=max"]) == 1
    assert "SENTINEL_KAFKA_CA_FILE is missing" in capsys.readouterr().err


@contextmanager
def _service(log: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _line(log: Path, text: str) -> dict[str, dict[str, int]]:
    found = [line for line in log.read_text().splitlines() if text in line]
    return dict(json.loads(found[0])) if found else {}
