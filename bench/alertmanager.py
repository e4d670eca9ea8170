"""A real Prometheus Alertmanager for the bench: SENTINEL_ALERTMANAGER, else Debian's `prometheus-alertmanager`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import yaml

from sentinel.anomaly import Anomaly

CONNECTIONS = 4
BATCH = 100


def program() -> str:
    """The executable. Raises SystemExit when there is none."""
    found = os.environ.get("SENTINEL_ALERTMANAGER") or shutil.which("prometheus-alertmanager")
    if found is None:
        raise SystemExit("bench: there is no Alertmanager (apt-get install prometheus-alertmanager, or set SENTINEL_ALERTMANAGER)")
    return found


def payload(anomaly: Anomaly) -> dict[str, object]:
    """The alert that tells what the anomaly tells: our labels, our annotations; over an hour after its report, as in our configuration."""
    labels = {name: str(getattr(anomaly, name)) for name in ("tenant_id", "application_id", "detector_id", "severity", "model", "metric")}
    annotations = {"summary": anomaly.title, "description": anomaly.description, "anomaly_id": anomaly.anomaly_id}
    return {"labels": {"alertname": "anomaly", **labels}, "annotations": annotations, "startsAt": anomaly.first_seen}


class Alertmanager:
    """One process on a free port with its data in `folder`; no group_wait, everything to one webhook. Use it in a `with` statement."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._port = folder, _free_port()
        folder.mkdir(parents=True, exist_ok=True)
        route = {"receiver": "hook", "group_by": ["tenant_id", "application_id", "detector_id"], "group_wait": "0s"}
        config = {
            "global": {"resolve_timeout": "1h"},
            "route": route | {"group_interval": "30s", "repeat_interval": "4h"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": url}]}],
        }
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Alertmanager:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> float:
        """Start it on the data that it has; seconds until it is ready."""
        began = time.monotonic()
        command = [program(), f"--config.file={self._folder / 'alertmanager.yml'}", f"--storage.path={self._folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", "--cluster.listen-address="]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(self._folder / "log").open("ab"))
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > began + 30:
                raise SystemExit(f"bench: Alertmanager did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9"""
        self._process.kill()
        self._process.wait(10)

    def post(self, batches: Sequence[bytes]) -> int:
        """Post all batches over several connections, each once it is accepted; how many had to be posted again."""
        again = [0] * CONNECTIONS

        def send(number: int) -> None:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            for body in batches[number::CONNECTIONS]:
                while not _posted(connection, body):
                    again[number] += 1
                    connection.close()
                    time.sleep(0.05)
            connection.close()

        threads = [threading.Thread(target=send, args=(number,)) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(again)

    def _ready(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=1)
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def batches_of(anomalies: Sequence[Anomaly], size: int = BATCH) -> list[bytes]:
    """Request bodies for the API v2."""
    found = [payload(anomaly) for anomaly in anomalies]
    return [json.dumps(found[begin : begin + size]).encode() for begin in range(0, len(found), size)]


def _posted(connection: HTTPConnection, body: bytes) -> bool:
    try:
        connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        return False
    return answer.status == 200


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
