"""`sentinel dispatcher test`: one message to one receiver by a configuration file, before it is applied."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from tests.dispatcher.conftest import answers


def run(file: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli.main", "dispatcher", *arguments, "--config", str(file)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sentinel-config.yaml"
    path.write_text("""
alerting:
  routing: {defaultReceiver: chat}
  receivers: [{name: chat, type: slack, config: {webhookUrl: "${CHAT_URL}"}}]
""")
    return path


def test_a_test_and_its_end_arrive(file: Path, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("ok"))
    url = httpserver.url_for("/hook")
    done = run(file, "test", "chat", CHAT_URL=url)
    assert (done.returncode, done.stdout) == (0, "chat accepted the test notification\n"), done.stderr
    assert run(file, "test", "chat", "--resolved", CHAT_URL=url).returncode == 0
    assert [request.get_json()["text"] for request in seen] == ["[FIRING:1] Test of LLM-Sentinel", "[RESOLVED] Test of LLM-Sentinel"]


def test_why_it_was_not_accepted_is_one_sentence(file: Path, httpserver: HTTPServer) -> None:
    answers(httpserver, Response("no_service", 404))
    refused = run(file, "test", "chat", CHAT_URL=httpserver.url_for("/hook"))
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (1, "HTTP 404 no_service")
    unset = run(file, "test", "chat")
    assert (unset.returncode, unset.stderr) == (1, "receiver 'chat': environment variable CHAT_URL is not set\n")
    unknown = run(file, "test", "nobody", CHAT_URL="http://127.0.0.1:1/")
    assert (unknown.returncode, unknown.stderr) == (1, "receiver 'nobody' is not in configuration version 0\n")
