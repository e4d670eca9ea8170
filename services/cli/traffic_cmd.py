"""`sentinel generate`, `replay` and `inject-plan`: telemetry traffic for Kafka or a file, and the trouble to put into it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.cli.connection import NoAddressError, kafka_bootstrap
from services.cli.output import print_table
from services.traffic.bulk import bulk_events
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.injection import Injector
from services.traffic.kafka_out import KafkaSender, ProgressLine, SendError
from services.traffic.plan import InjectionPlan, PlanError, load_plan
from services.traffic.rebase import MAX_SPEED, now_ms
from services.traffic.replay import FORMATS, Rebase, Summary, parse_speed, prepare_replay, run_bulk, run_stream
from services.traffic.sources import SourceError
from services.traffic.timed import TimedStream, parse_ms
from services.traffic.truth import Truth, write_truth

TOPIC = "llm-telemetry"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
Runner = Callable[[KafkaSender], Summary]
_UNIT_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Topic = Annotated[str, typer.Option(help="Kafka topic to write to.")]
Bootstrap = Annotated[str | None, typer.Option(help="Kafka bootstrap servers; default: those of the running stack.")]
Inject = Annotated[Path | None, typer.Option(help="Injection plan (YAML or JSON): trouble to put into the traffic.")]
TruthFile = Annotated[Path | None, typer.Option("--truth", help="Where to record what was injected (JSON lines).")]
Speed = Annotated[str, typer.Option(help="1 = real time, 20 = twenty times as fast, max = as fast as Kafka takes it.")]
Output = Annotated[str, typer.Option("--output", "-o", help="Summary as text or json.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn or modelled.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the `sentinel` command."""
    app.command("generate")(generate)
    app.command("replay")(replay)
    app.command("inject-plan")(inject_plan)


def generate(
    rate: Annotated[float, typer.Option(help="Events per second (two a call); with the daily rhythm: on the average of a day.")] = 200.0,
    duration: Annotated[str | None, typer.Option(help="How long, like 30s, 5m, 1h.")] = None,
    events: Annotated[int | None, typer.Option(min=0, help="Exactly this many events.")] = None,
    seed: Seed = 1,
    tenants: Annotated[int, typer.Option(min=1, help="Number of tenants.")] = 4,
    applications: Annotated[int, typer.Option(min=1, help="Number of applications, all tenants together.")] = 12,
    models: Annotated[int, typer.Option(min=1, help="Number of models.")] = 4,
    users: Annotated[int, typer.Option(min=1, help="Users of each application.")] = 40,
    keys: Annotated[
        int | None, typer.Option(min=1, help="Number of live tenant|application|model keys, in place of --applications.")
    ] = None,
    event_bytes: Annotated[int | None, typer.Option(min=1, help="Pad or cut texts so that each event has this many bytes.")] = None,
    rhythm: Annotated[bool, typer.Option("--rhythm/--flat", help="Daily rhythm of the rate, or the same rate all day.")] = True,
    start: Annotated[
        str | None, typer.Option(help="Event time of the beginning (ISO 8601); default now, or such that the end is now.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write telemetry-jsonl to this file instead of Kafka.")] = None,
    topic: Topic = TOPIC,
    bootstrap: Bootstrap = None,
    speed: Speed = "1",
    inject: Inject = None,
    truth: TruthFile = None,
    bulk: Annotated[bool, typer.Option("--bulk", help="Load traffic from byte templates: fast, plain, needs --events.")] = False,
    output: Output = "text",
) -> None:
    """Generate telemetry of several tenants and send it to Kafka, or write it to a file."""
    with _explained():
        pace = MAX_SPEED if out is not None else parse_speed(speed)
        seconds = None if duration is None else parse_duration(duration)
        settings = TrafficSettings(seed, rate, tenants, applications, models, users, keys, event_bytes, rhythm)
        expected_s = seconds if seconds is not None else events / rate if events is not None else None
        if expected_s is None and pace == MAX_SPEED:
            raise ValueError("expected --duration or --events: without an end traffic can only be sent at a limited --speed")
        plan = _plan(inject, truth)
        begin_ms = parse_ms(start) if start is not None else _begin(pace, expected_s)
        if bulk:
            if events is None or plan is not None or out is not None:
                raise ValueError("--bulk: expected --events N, and neither --inject nor --out")
            records = bulk_events(events, seed=seed, keys=keys or 1000, event_bytes=event_bytes or 900, start_ms=begin_ms, rate=rate)
            _print(_to_kafka(bootstrap, topic, lambda sender: run_bulk(records, sender, paced_by_time=pace != MAX_SPEED)), output)
            return
        stream: TimedStream = generate_events(settings, begin_ms, duration_s=seconds, events=events)
        injector = Injector(plan, begin_ms) if plan is not None else None
        if injector is not None:
            stream = injector.apply(stream)
        try:
            if out is not None:
                _print(_to_file(stream, out), output)
            else:
                _print(_to_kafka(bootstrap, topic, lambda sender: run_stream(stream, sender, first_ms=begin_ms, speed=pace)), output)
        finally:
            _record_truth(injector.truth if injector else [], truth, settings.world().known_applications())


def replay(
    file: Annotated[Path, typer.Argument(help="The file to replay.")],
    format_name: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")] = "telemetry-jsonl",
    speed: Speed = "1",
    inject: Inject = None,
    truth: TruthFile = None,
    rebase: Annotated[str, typer.Option(help="now: move event times to now; none: leave them.")] = "now",
    topic: Topic = TOPIC,
    bootstrap: Bootstrap = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N records.")] = None,
    seed: Seed = 1,
    output: Output = "text",
) -> None:
    """Replay recorded traffic into Kafka, with the event times moved to now."""
    with _explained():
        if format_name not in FORMATS:
            raise ValueError(f"--format {format_name}: expected one of {', '.join(FORMATS)}")
        mode: Rebase = "none" if rebase == "none" else "now"
        if rebase != mode:
            raise ValueError(f"--rebase {rebase}: expected now or none")
        pace = parse_speed(speed)
        plan = _plan(inject, truth)
        if not file.is_file():
            raise ValueError(f"{file}: no such file; expected a file of format {format_name}")
        prepared = prepare_replay(file, format_name, speed=pace, rebase=mode, plan=plan, limit=limit, seed=seed)
        try:
            _print(_to_kafka(bootstrap, topic, lambda s: run_stream(prepared.stream, s, first_ms=prepared.first_ms, speed=pace)), output)
        finally:
            _record_truth(prepared.truth(), truth, [])


def inject_plan(file: Annotated[Path, typer.Argument(help="An injection plan (YAML or JSON).")]) -> None:
    """Check an injection plan and show what it would do."""
    with _explained():
        plan = load_plan(file)
        rows = []
        for item in plan.injections:
            size = ", ".join(f"{name} {value:g}" for name, value in item.size().items())
            rows.append((item.kind, item.tenant, item.application, item.user, f"{item.at:g} s", f"{item.duration:g} s", size))
        print_table(("kind", "tenant", "application", "user", "at", "duration", "size"), rows, ("at", "duration"))


def parse_duration(text: str) -> float:
    """Seconds of `30s`, `5m`, `1h`, `2d`, `500ms` or a plain number of seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"--duration {text}: expected a length of time above 0, like 30s, 5m or 1h")
    return float(match[1]) * _UNIT_S[match[2]]


def _begin(speed: float, seconds: float | None) -> int:
    """At real time traffic begins now; faster traffic begins so far back that its last event lies not in the future when it is sent."""
    if seconds is None:
        return now_ms()
    return round(now_ms() - seconds * 1000 * (1.0 if speed == MAX_SPEED else max(0.0, 1.0 - 1.0 / speed)))


def _plan(path: Path | None, truth: Path | None) -> InjectionPlan | None:
    if path is None:
        if truth is not None:
            raise ValueError("--truth: expected --inject PLAN too; without a plan there is nothing to record")
        return None
    return load_plan(path)


def _to_kafka(bootstrap: str | None, topic: str, run: Runner) -> Summary:
    progress = ProgressLine()
    sender = KafkaSender(kafka_bootstrap(bootstrap), topic, progress)
    begin = time.monotonic()
    try:
        return run(sender)
    except KeyboardInterrupt:
        sender.finish(10.0)
        progress.close()
        _print(Summary.of(sender.sent, sender.acked, sender.failed, time.monotonic() - begin, None, None, sender.first_failure), "text")
        raise
    finally:
        progress.close()


def _to_file(stream: TimedStream, out: Path) -> Summary:
    begin = time.monotonic()
    count, first, last = 0, None, None
    with out.open("wb") as file:
        for timed in stream:
            first = timed.ts_ms if first is None else first
            last = timed.ts_ms
            file.write(timed.value() + b"\n")
            count += 1
    return Summary.of(count, count, 0, time.monotonic() - begin, first, last, None)


def _print(summary: Summary, output: str) -> None:
    if output == "json":
        sys.stdout.write(orjson.dumps(summary.as_dict()).decode() + "\n")
    else:
        span = f"event time {summary.first_event} … {summary.last_event}" if summary.first_event else "no event time"
        failed = f", failed {summary.failed:,} (first: {summary.first_failure})" if summary.failed else ""
        sys.stdout.write(
            f"sent {summary.sent:,}, acked {summary.acked:,}{failed} in {summary.seconds:.1f} s ({summary.rate:,.0f}/s), {span}\n"
        )
    if summary.failed:
        raise typer.Exit(1)


def _record_truth(truths: list[Truth], path: Path | None, known: list[str]) -> None:
    for truth in truths:
        if truth.events_touched == 0:
            hint = f"; applications of this traffic: {', '.join(known[:40])}" if known else ""
            place = f"{truth.tenant_id}/{truth.application_id}" + (f" user {truth.user_id}" if truth.user_id else "")
            typer.echo(f"warning: {truth.kind} on {place} touched no event{hint}", err=True)
    if path is not None:
        write_truth(truths, path)


@contextmanager
def _explained() -> Iterator[None]:
    """Every expected error ends in its sentence and exit status 2 (bad input) or 1 (no target)."""
    try:
        yield
    except (PlanError, SourceError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"error: {error.filename or 'file'}: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    except (SendError, NoAddressError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
