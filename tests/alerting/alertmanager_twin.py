"""A real Alertmanager that lives through a timeline in real time, with receivers that write down what reaches them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

from sentinel.alerting.importer.matchers import read_matchers
from sentinel.alerting.timeline import Timeline, texts
from sentinel.timestamps import to_rfc3339


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary() -> str | None:
    """The Alertmanager to compare with: SENTINEL_ALERTMANAGER, else Debian's."""
    return os.environ.get("SENTINEL_ALERTMANAGER") or shutil.which("prometheus-alertmanager")


def version(program: str) -> tuple[int, ...]:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    words = (shown.stdout + shown.stderr).split()
    number = words[words.index("version") + 1] if "version" in words else "0"
    return tuple(int(part) for part in number.split(".")[:2] if part.isdigit()) or (99,)


@dataclass
class Twin:
    """One run: `config` is Alertmanager YAML whose webhook addresses are filled in here."""

    program: str
    config: str
    timeline: Timeline
    folder: Path
    seen: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)

    def run(self) -> list[dict[str, Any]]:
        """What reached the receivers, as `sentinel alerts simulate` writes it, without the number of the attempt."""
        self.folder.mkdir(parents=True, exist_ok=True)
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        document = yaml.safe_load(self.config)
        for receiver in document["receivers"]:
            for settings in receiver.get("webhook_configs", []):
                settings["url"] = f"http://127.0.0.1:{server.server_port}/{receiver['name']}"
        (self.folder / "am.yml").write_text(yaml.safe_dump(document))
        self._address = f"127.0.0.1:{_free_port()}"
        process = self._start()
        try:
            self._start_s = time.time()
            silences: dict[str, str] = {}
            for event in self.timeline.events:
                self._sleep_until(event.at)
                if event.restart:
                    process.send_signal(15 if event.restart == "term" else 9)
                    process.wait(20)
                    process = self._start()
                self._happen(event, silences)
            self._sleep_until(self.timeline.until + 0.6)
        finally:
            process.kill()
            process.wait(10)
            server.shutdown()
            server.server_close()
        return [entry for entry in self.seen if entry["at"] <= self.timeline.until + 0.5]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [self.program, f"--config.file={self.folder / 'am.yml'}", f"--storage.path={self.folder / 'data'}"]
        command += [f"--web.listen-address={self._address}", "--cluster.listen-address="]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("ab"))
        for _ in range(200):
            try:
                with urlopen(f"http://{self._address}/-/ready", timeout=1):
                    return process
            except OSError:
                time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def _sleep_until(self, at: float) -> None:
        time.sleep(max(0.0, self._start_s + at - time.time()))

    def _time(self, moment: float | str | None) -> str | None:
        if moment is None:
            return None
        return moment if isinstance(moment, str) else to_rfc3339(round((self._start_s + moment) * 1000))

    def _happen(self, event: Any, silences: dict[str, str]) -> None:
        if event.post is not None:
            alerts = []
            for posted in event.post:
                alert: dict[str, Any] = {"labels": texts(posted.labels), "annotations": texts(posted.annotations)}
                alert |= {"startsAt": self._time(posted.startsAt)} if posted.startsAt is not None else {}
                alert |= {"endsAt": self._time(posted.endsAt)} if posted.endsAt is not None else {}
                alerts.append(alert)
            self._call("POST", "alerts", alerts)
        if event.silence is not None:
            matchers = [
                {"name": name, "value": value, "isRegex": "~" in op, "isEqual": "!" not in op}
                for text in event.silence.matchers
                for name, op, value in read_matchers(text)
            ]
            body = {"matchers": matchers, "startsAt": self._time(event.at), "endsAt": self._time(event.silence.until)}
            silences[event.silence.id] = self._call("POST", "silences", body | {"createdBy": "t", "comment": "t"})["silenceID"]
        if event.expire is not None:
            self._call("DELETE", f"silence/{silences[event.expire]}", None)
        if event.receiver is not None:
            self.answers[event.receiver.name] = str(event.receiver.respond)

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://{self._address}/api/v2/{path}", data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        twin = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = payload["receiver"]
                answer = twin.answers.get(name, "200")
                alerts = [{"labels": alert["labels"], "status": alert["status"]} for alert in payload["alerts"]]
                twin.seen.append(
                    {
                        "at": round(time.time() - twin._start_s, 2),
                        "receiver": name,
                        "status": payload["status"],
                        "groupLabels": payload["groupLabels"],
                        "alerts": alerts,
                        "delivered": answer == "200",
                    }
                )
                if answer == "timeout":
                    time.sleep(60)
                self.send_response(200 if answer in ("200", "timeout") else int(answer))
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        return Handler
