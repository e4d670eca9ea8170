"""The demonstration from start to verdict."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from services.demo.gauges import JobGauges
from services.demo.matching import Verdict, judge
from services.demo.scenario import Scenario, load_scenario, write_config
from services.demo.sinks import Inbox
from services.demo.stack import DemoStack
from services.demo.stores import FindingsReader
from services.demo.traffic import DemoTraffic
from services.demo.view import Scene, choose_view, result_table
from services.stack.state import Endpoints
from services.traffic.rebase import now_ms

REFRESH_S = 1.0
# A change of the configuration is in force within 2 s.
CONFIG_SETTLE_S = 3.0


def run_demo(*, once: bool) -> bool:
    """Run it; True when every trouble was found, no calm stretch raised an alert, and alerts were seen grouped, escalated and ended.

    Without `once` traffic goes on until Ctrl-C.

    Raises StackError, SendError, PlanError, each with one sentence on what is wrong.
    """
    scenario = load_scenario()
    stack = DemoStack()
    screen, table = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 200)
    try:
        with Inbox() as inbox:
            endpoints = stack.start()
            config = stack.layout.run / "demo-config.yaml"
            write_config(config, webhook_url=inbox.webhook_url, smtp_port=inbox.smtp_port)
            stack.apply(config)
            time.sleep(CONFIG_SETTLE_S)
            return _watch(scenario, endpoints, inbox, screen, table, once=once)
    finally:
        if once and not stack.joined:
            stack.stop()
        else:
            screen.print("The stack is still running: `sentinel status` shows it, `sentinel down` stops it.")


def _watch(scenario: Scenario, endpoints: Endpoints, inbox: Inbox, screen: Console, table: Console, *, once: bool) -> bool:
    traffic = DemoTraffic(scenario, endpoints.kafka_bootstrap)
    reader, gauges = FindingsReader(endpoints.postgres_dsn, traffic.start_ms), JobGauges(endpoints.flink_rest_url)
    scene = Scene(traffic.start_ms, {"Flink": endpoints.flink_rest_url, "OpenSearch": endpoints.opensearch_url})
    judged = False
    traffic.start()
    try:
        with choose_view(screen) as view:
            while not judged:
                _refresh(scene, scenario, traffic, reader, gauges, inbox)
                scene.note = _note(scene, scenario, traffic)
                view.show(scene)
                judged = _over(scene.verdict, scenario, traffic, now_ms())
                time.sleep(REFRESH_S)
        _refresh(scene, scenario, traffic, reader, gauges, inbox)
        _report(scene.verdict, scene, table)
        if not once:
            screen.print("Calm traffic goes on; Ctrl-C ends it (Sentinel will then report applications that fell silent).")
            with choose_view(screen) as view:
                while traffic.failure is None:
                    _refresh(scene, scenario, traffic, reader, gauges, inbox)
                    scene.note = "calm traffic, Ctrl-C ends it"
                    view.show(scene)
                    time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        if not judged:
            raise
    finally:
        traffic.stop()
        reader.close()
    if traffic.failure is not None:
        raise traffic.failure
    return scene.verdict.passed and not scene.verdict.unseen


def _refresh(scene: Scene, scenario: Scenario, traffic: DemoTraffic, reader: FindingsReader, gauges: JobGauges, inbox: Inbox) -> None:
    found = reader.read()
    if found is not None:
        scene.findings = found
    scene.verdict = judge(traffic.truth, scene.findings, start_ms=traffic.start_ms, grace_ms=scenario.grace_ms)
    scene.gauges = gauges.read()
    if gauges.job_id is not None:
        base = scene.links["Flink"].split("/#/")[0]
        scene.links["Flink"] = f"{base}/#/job/running/{gauges.job_id}/overview"
    received = inbox.received
    scene.sent = traffic.sent
    scene.webhook = sum(1 for item in received if item.channel == "webhook")
    scene.email = len(received) - scene.webhook


def _over(verdict: Verdict, scenario: Scenario, traffic: DemoTraffic, now: int) -> bool:
    """The end: the traffic broke down; or all was found, told and over, and calm stayed calm for a while; or the last grace has passed."""
    if traffic.failure is not None:
        return True
    return now >= traffic.last_end_ms + (scenario.settle_ms if verdict.settled else scenario.grace_ms)


def _note(scene: Scene, scenario: Scenario, traffic: DemoTraffic) -> str:
    now = now_ms()
    first = min((truth.start_ms for truth in traffic.truth), default=now)
    if now < first:
        return f"calm traffic while the detectors learn what is usual; trouble begins in {(first - now) / 1000:.0f} s"
    if now < traffic.last_end_ms:
        return "trouble is being injected"
    return "the trouble is over; watching whether calm stays calm"


def _report(verdict: Verdict, scene: Scene, table: Console) -> None:
    table.print(result_table(verdict, scene.start_ms))
    for alert in verdict.false_alarms:
        at = (alert.starts_ms - scene.start_ms) / 1000
        name = alert.detector_id or alert.definition_id
        table.print(f"FALSE ALARM {at:.0f} s after the start: {name} on {alert.tenant_id}/{alert.application_id}")
    for name in verdict.unseen:
        table.print(f"NOT SEEN in any alert: {name}")
    found = len(verdict.rows) - len(verdict.missed)
    grouped, escalated, over = verdict.lives.values()
    calm = "no alert in calm stretches" if not verdict.false_alarms else f"{len(verdict.false_alarms)} alerts in calm stretches"
    table.print(
        f"{found} of {len(verdict.rows)} troubles found, {calm}; {scene.sent:,} events sent; "
        f"the webhook received {scene.webhook} messages, the mail server {scene.email}."
    )
    table.print(
        f"{grouped} alerts stand for several findings, {escalated} were escalated since nobody answered, the end of {over} was told."
    )
    if scene.findings.earlier:
        table.print(
            f"Some of the messages are about {scene.findings.earlier} alerts that began before this run: an application that was heard of "
            "once is silent while the stack is stopped."
        )
