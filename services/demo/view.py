"""What the demonstration shows: a live view on a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.demo.gauges import Gauges
from services.demo.matching import Findings, FoundAlert, FoundAnomaly, Row, Told, Verdict
from services.traffic.rebase import now_ms
from services.traffic.truth import Truth

LISTED = 8
PLAIN_EVERY_S = 10.0


@dataclass
class Scene:
    """Everything that one refresh shows."""

    start_ms: int
    links: dict[str, str]
    gauges: Gauges = field(default_factory=Gauges)
    findings: Findings = field(default_factory=Findings)
    verdict: Verdict = field(default_factory=lambda: Verdict(()))
    sent: int = 0
    webhook: int = 0
    email: int = 0
    note: str = ""


class View(Protocol):
    """Shows scenes; a context manager."""

    def __enter__(self) -> View: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, scene: Scene) -> None: ...


def choose_view(console: Console) -> View:
    """The live view on a terminal, plain lines otherwise."""
    return LiveView(console) if console.is_terminal else PlainView()


def clock(ts_ms: int, start_ms: int) -> str:
    """Seconds since the start as `1:05`."""
    seconds = max(0, ts_ms - start_ms) // 1000
    return f"{seconds // 60}:{seconds % 60:02d}"


def size_text(truth: Truth) -> str:
    """`×3`, `20 %`, `30 prompts` or `no events`."""
    if "factor" in truth.size:
        return f"×{truth.size['factor']:g}"
    if "share" in truth.size:
        return f"{truth.size['share']:.0%}"
    return f"{truth.size['prompts']:g} prompts" if "prompts" in truth.size else "no events"


def figures(scene: Scene) -> str:
    """The gauges in one line."""
    gauges = scene.gauges
    parts = [
        f"{gauges.events_per_s:,.0f} events/s" if gauges.events_per_s is not None else "– events/s",
        f"lag {gauges.lag_records:,}" if gauges.lag_records is not None else "lag –",
        f"watermark {gauges.watermark_delay_s:.1f} s behind" if gauges.watermark_delay_s is not None else "watermark –",
        f"{scene.sent:,} sent",
        f"{len(scene.findings.anomalies)} anomalies",
        f"{len(scene.findings.alerts)} alerts",
        f"told: webhook {scene.webhook}, e-mail {scene.email}",
    ]
    if gauges.restarts:
        parts.append(f"{gauges.restarts} restarts")
    return "   ".join(parts)


def state_of(row: Row, now: int) -> str:
    """Where one trouble stands."""
    if row.found:
        return f"alert after {row.alert_delay_s:.1f} s"
    if row.anomaly is not None:
        return f"anomaly after {row.anomaly_delay_s:.1f} s"
    if now < row.truth.start_ms:
        return f"in {(row.truth.start_ms - now) / 1000:.0f} s"
    return "running" if now < row.truth.end_ms else "over, not found yet"


def grouped(alert: FoundAlert) -> str:
    """How much one alert stands for: `34 findings` are told as one thing."""
    return f"{alert.count:,} finding{'s' if alert.count != 1 else ''}"


def told_text(told: Told) -> str:
    """`oncall-email (escalated)`, `default-notifications (over)`; a first or repeated message has its receiver alone."""
    note = "over" if told.status == "resolved" else "escalated" if told.reason == "escalated" else ""
    return f"{told.receiver} ({note})" if note else told.receiver


class LiveView:
    """A rich.live screen, refreshed by `show`."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Replace what is on the screen."""
        self._live.update(self._render(scene), refresh=True)

    def _render(self, scene: Scene) -> RenderableType:
        now = now_ms()
        trouble = Table("trouble", "tenant / application", "size", "from", "state", box=SIMPLE_HEAD, pad_edge=False)
        for row in scene.verdict.rows:
            style = "green" if row.found else "yellow" if now >= row.truth.start_ms else "dim"
            where = f"{row.truth.tenant_id} / {row.truth.application_id}"
            cells = (row.truth.kind, where, size_text(row.truth), clock(row.truth.start_ms, scene.start_ms), state_of(row, now))
            trouble.add_row(*cells, style=style)
        links = "   ".join(f"{name}: {url}" for name, url in scene.links.items())
        return Group(
            Text.assemble((f" LLM-Sentinel  {clock(now, scene.start_ms)} ", "bold reverse"), "  ", scene.note),
            Text(figures(scene)),
            Text(links, style="cyan"),
            trouble,
            self._alerts(scene),
            self._anomalies(scene),
        )

    def _alerts(self, scene: Scene) -> Table:
        table = Table("at", "alert", "severity", "tenant / application", "status", "grouped", "told", box=SIMPLE_HEAD, pad_edge=False)
        for alert in scene.findings.alerts[-LISTED:]:
            cells = (clock(alert.starts_ms, scene.start_ms), alert.detector_id or alert.definition_id, alert.severity)
            story = " → ".join(told_text(told) for told in scene.findings.accepted(alert.alert_id)[-4:])
            table.add_row(*cells, f"{alert.tenant_id} / {alert.application_id}", alert.status, grouped(alert), story or "–")
        return table

    def _anomalies(self, scene: Scene) -> Table:
        table = Table("at", "anomaly", "severity", "tenant / application", "title", box=SIMPLE_HEAD, pad_edge=False)
        for item in scene.findings.anomalies[-LISTED:]:
            place = f"{item.tenant_id} / {item.application_id}"
            table.add_row(clock(item.detected_ms, scene.start_ms), item.detector_id, item.severity, place, item.title)
        return table


class PlainView:
    """One line for each new anomaly and alert, and the gauges every 10 s, on stderr."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._next = 0.0
        self._linked = False

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def show(self, scene: Scene) -> None:
        """Print what is new."""
        if not self._linked:
            self._linked = True
            for name, url in scene.links.items():
                self._say(f"{name}: {url}")
        items: list[FoundAnomaly | FoundAlert] = [*scene.findings.anomalies, *scene.findings.alerts]
        for item in items:
            identity = item.anomaly_id if isinstance(item, FoundAnomaly) else item.alert_id
            if identity not in self._seen:
                self._seen.add(identity)
                self._say(self._line(item, scene.start_ms))
        for alert in scene.findings.alerts:
            for told in scene.findings.accepted(alert.alert_id):
                mark = f"{alert.alert_id} {told.receiver} {told.status} {told.delivered_ms}"
                if mark not in self._seen and told.delivered_ms is not None:
                    self._seen.add(mark)
                    what = f"told    {alert.severity:8} {alert.detector_id} on {alert.tenant_id}/{alert.application_id}: {told_text(told)}"
                    self._say(f"[{clock(told.delivered_ms, scene.start_ms)}] {what}, {grouped(alert)}")
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY_S
            self._say(f"[{clock(now_ms(), scene.start_ms)}] {figures(scene)}  {scene.note}".rstrip())

    @staticmethod
    def _line(item: FoundAnomaly | FoundAlert, start_ms: int) -> str:
        kind, at = ("anomaly", item.detected_ms) if isinstance(item, FoundAnomaly) else ("ALERT  ", item.starts_ms)
        return f"[{clock(at, start_ms)}] {kind} {item.severity:8} {item.detector_id} on {item.tenant_id}/{item.application_id}"

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def result_table(verdict: Verdict, start_ms: int) -> Table:
    """Injected against found: delays in seconds from the start of each trouble; the end was told so long after the end of the trouble. `groups`:
    how many findings the alert stands for."""
    columns = ["injected", "tenant / application", "size", "from", "anomaly", "after", "alert", "after", "groups", "told", "after"]
    columns += ["escalated", "over told", "result"]
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in verdict.rows:
        truth = row.truth
        receivers = sorted({t.receiver for t in row.told if t.delivered_ms is not None})
        table.add_row(
            truth.kind,
            f"{truth.tenant_id} / {truth.application_id}",
            size_text(truth),
            clock(truth.start_ms, start_ms),
            row.anomaly.detector_id if row.anomaly else "–",
            _seconds(row.anomaly_delay_s),
            f"{row.alert.definition_id} ({row.alert.severity})" if row.alert else "–",
            _seconds(row.alert_delay_s),
            f"{row.alert.count:,}" if row.alert else "–",
            ", ".join(receivers) or "–",
            _seconds(row.told_delay_s),
            _seconds(row.escalated_delay_s),
            _seconds(row.over_delay_s),
            "found" if row.found else "MISSED",
        )
    return table


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
