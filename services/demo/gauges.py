"""Figures of the running job from Flink's REST API."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import httpx

JOB_NAME = "standalone"
_RATE_WINDOW_S = 10.0


@dataclass(frozen=True)
class Gauges:
    """Figures of the running job; None where Flink has not told yet."""

    events_per_s: float | None = None
    lag_records: int | None = None
    watermark_delay_s: float | None = None
    restarts: int | None = None
    state: str = "?"


class JobGauges:
    """Reads the figures of one running job over Flink's REST API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=3.0)
        self._job_id: str | None = None
        self._source: tuple[str, list[str], list[str]] | None = None
        self._totals: deque[tuple[float, float]] = deque()

    @property
    def job_id(self) -> str | None:
        """Id of the job, once it was seen."""
        return self._job_id

    def read(self) -> Gauges:
        """The present figures; empty ones while Flink does not answer."""
        try:
            return self._read()
        except (httpx.HTTPError, KeyError, ValueError, TypeError):
            self._job_id = self._source = None
            return Gauges()

    def _read(self) -> Gauges:
        if self._job_id is None:
            jobs = self._get("/jobs/overview")["jobs"]
            running = [job for job in jobs if job["state"] == "RUNNING" and JOB_NAME in job["name"].lower()]
            if not running:
                return Gauges()
            self._job_id = str(max(running, key=lambda job: job["start-time"])["jid"])
        detail = self._get(f"/jobs/{self._job_id}")
        if detail["state"] != "RUNNING":
            self._job_id = self._source = None
            return Gauges(state=detail["state"])
        if self._source is None:
            self._source = self._find_source(detail)
        rate = lag = None
        if self._source is not None:
            vertex, read_names, lag_names = self._source
            values = self._sums(vertex, read_names + lag_names)
            total = sum(values.get(name, 0.0) for name in read_names)
            rate = self._rate(total)
            lag = int(sum(values.get(name, 0.0) for name in lag_names)) if lag_names else None
        return Gauges(rate, lag, self._watermark_delay(detail), self._restarts(), "RUNNING")

    def _rate(self, total: float) -> float | None:
        """Events per second over the last seconds: Flink refreshes its counters about once a second, so two neighbouring readings say nothing."""
        now = time.monotonic()
        if self._totals and total < self._totals[-1][1]:
            self._totals.clear()
        self._totals.append((now, total))
        while len(self._totals) > 2 and now - self._totals[0][0] > _RATE_WINDOW_S:
            self._totals.popleft()
        first_s, first = self._totals[0]
        return (total - first) / (now - first_s) if now - first_s >= 1.0 else None

    def _find_source(self, detail: dict[str, Any]) -> tuple[str, list[str], list[str]] | None:
        """The vertex that reads telemetry, with the names of its counters, once Flink has told them; other sources read other topics."""
        for vertex in detail["vertices"]:
            if "telemetry" not in vertex["name"].lower():
                continue
            names = [item["id"] for item in self._get(f"/jobs/{self._job_id}/vertices/{vertex['id']}/subtasks/metrics")]
            lag = [name for name in names if name.startswith("Source") and name.endswith("pendingRecords")]
            read = [name for name in names if name.startswith("Source") and name.endswith(".numRecordsIn")]
            if lag and read:
                return vertex["id"], read, lag
        return None

    def _sums(self, vertex: str, names: list[str]) -> dict[str, float]:
        path = f"/jobs/{self._job_id}/vertices/{vertex}/subtasks/metrics?agg=sum&get={','.join(names)}"
        return {item["id"]: float(item["sum"]) for item in self._get(path)}

    def _restarts(self) -> int | None:
        values = self._get(f"/jobs/{self._job_id}/metrics?get=numRestarts")
        return int(float(values[0]["value"])) if values else None

    def _get(self, path: str) -> Any:
        answer = self._http.get(path)
        answer.raise_for_status()
        return answer.json()

    def _watermark_delay(self, detail: dict[str, Any]) -> float | None:
        """Seconds between the wall clock and the slowest watermark; vertices without event time (sources, idle branches) do not count."""
        slowest: float | None = None
        for vertex in detail["vertices"]:
            for item in self._get(f"/jobs/{self._job_id}/vertices/{vertex['id']}/watermarks"):
                value = float(item["value"])
                if 0 < value < 4e12 and (slowest is None or value < slowest):
                    slowest = value
        return None if slowest is None else max(0.0, time.time() - slowest / 1000.0)
