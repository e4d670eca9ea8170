"""`sentinel gateway` as a process that can be killed and started again on the same ports and data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from services.stack.paths import project_root
from tests.support.kafka import free_port
from tests.support.waiting import wait_for


class GatewayProcess:
    """A gateway with HTTP and gRPC doors; its log is `gateway.log` in `folder`, its overflow `overflow`."""

    def __init__(self, bootstrap: str, folder: Path, config: str = "ingestion: {}\n") -> None:
        folder.mkdir()
        path = folder / "sentinel-config.yaml"
        path.write_text(config)
        self.port, self.grpc_port = free_port(), free_port()
        self.url, self.overflow = f"http://127.0.0.1:{self.port}", folder / "overflow"
        command = [sys.executable, "-m", "services.cli.main", "gateway"]
        command += [f"--config={path}", f"--bootstrap={bootstrap}", f"--data={folder}"]
        command += [f"--http-port={self.port}", f"--grpc-port={self.grpc_port}", "--otlp-grpc-port=0", "--otlp-http-port=0"]
        self._command = command
        self._log = folder / "gateway.log"
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stderr=output, cwd=project_root(), env=os.environ | {"PYTHONPATH": str(project_root())}
            )
        wait_for(self._answers, 60, f"the gateway to start; its log: {self.log()[-500:]}", pause_s=0.1)

    def kill(self) -> None:
        """As a power cut does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> str:
        """Ends it as an operator does; its log."""
        self.process.terminate()
        assert self.process.wait(30) == 0
        return self.log()

    def log(self) -> str:
        """What it has said so far, of all starts."""
        return self._log.read_text()

    def metrics(self) -> dict[str, float]:
        """Every value of /metrics, by its name with labels. Raises httpx.HTTPError while it does not answer."""
        page = httpx.get(f"{self.url}/metrics", timeout=10).text
        pairs = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def metric(self, name: str) -> float:
        """One value of /metrics."""
        return self.metrics()[name]

    def rss_mib(self) -> float:
        """Memory of the process."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()[-2000:]
        try:
            return httpx.get(f"{self.url}/livez", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
