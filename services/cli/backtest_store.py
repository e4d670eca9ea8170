"""`sentinel backtest --from-store`: stored minutes through a changed configuration, and what it would have raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from sentinel.backtest.choice import ChoiceError, chosen_detector
from sentinel.backtest.minutes import Replay, replay, why_not
from sentinel.backtest.series import row_strategies
from sentinel.config.errors import ConfigError, nearest
from sentinel.config.load import default_config, load_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.config.units import parse_duration
from sentinel.metrics_vocabulary import METRICS, metric_names
from sentinel.panes import Pane
from services.backtest.stored import StoreError, raised_then, stored_panes
from services.cli.connection import NoAddressError, postgres_dsn
from services.cli.output import Output, print_json, print_table
from services.cli.progress import Progress
from services.cli.safe_text import safe_text
from services.models.minutes import past


def from_stored_minutes(
    detector: str | None,
    config_file: Path | None,
    since: str,
    tenant: str | None,
    application: str | None,
    metric: str,
    output: Output,
    dsn: str | None,
    fail: Callable[[str], NoReturn],
) -> None:
    """Replay, print. `fail` ends the command with a sentence."""
    progress = Progress()
    try:
        config = _configuration(detector, config_file, metric)
        begin, end = past(parse_duration(since))
        address = postgres_dsn(dsn)
        with stored_panes(address, begin, end, tenant, application) as minutes:
            result = replay(_watched(minutes, progress), config)
        then = raised_then(address, begin, end, tenant, application)
    except (ChoiceError, ConfigError, NoAddressError, StoreError, ValueError) as error:
        fail(str(error))
    if not result.minutes:
        fail(f"no stored minute between {begin:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC: nothing to replay")
    for name, reason in result.skipped.items():
        progress.say(f"{safe_text(name)} is left out: {reason}")
    for name, count in result.errors.items():
        progress.say(f"{safe_text(name)} failed (said {count} times)")
    (_print_json if output is Output.json else _print_tables)(result, config, then)
    progress.say(f"{result.minutes:,} minutes, {result.panes:,} panes: {len(result.fired)} anomalies would have been raised")


def _configuration(detector: str | None, config_file: Path | None, metric: str) -> RuntimeConfig:
    loaded = load_config(config_file) if config_file else default_config()
    config = RuntimeConfig.from_snapshot(0, loaded.config.to_snapshot())
    if detector is None:
        return config
    named = tuple(item for item in config.detectors if item.id == detector)
    if not named:
        if "pane" not in (METRICS[metric].levels if metric in METRICS else ()):
            valid = metric_names("pane")
            near = nearest(metric, valid)
            raise ChoiceError(f"expected a metric that windows have, found {metric!r}{f'; did you mean {near}?' if near else ''}")
        if detector not in row_strategies():
            known = [*(item.id for item in config.detectors), *row_strategies()]
            near = nearest(detector, known)
            raise ChoiceError(
                f"no detector is called {detector!r}{f'; did you mean {near}?' if near else ''} There are: {', '.join(known)}"
            )
        named = (msgspec.structs.replace(chosen_detector(detector, None), metric=metric, params={"metric": metric}),)
    if reason := why_not(named[0]):
        raise ChoiceError(f"stored minutes cannot feed detector {detector!r}: {reason}")
    return msgspec.structs.replace(config, detectors=named)


def _watched(minutes: Iterable[list[Pane]], progress: Progress) -> Iterator[list[Pane]]:
    for number, panes in enumerate(minutes, 1):
        if number % 60 == 0:
            progress.update(f"{number:,} minutes")
        yield panes


def _print_json(result: Replay, config: RuntimeConfig, then: dict[str, int]) -> None:
    fired = [
        {**msgspec.to_builtins(item.anomaly), "last_seen": item.last_seen, "score": item.score, "count": item.count}
        for item in result.fired
    ]
    print_json({"minutes": result.minutes, "panes": result.panes, "fired": fired, "skipped": result.skipped, "recorded": then})


def _print_tables(result: Replay, config: RuntimeConfig, then: dict[str, int]) -> None:
    rows = [
        (
            item.anomaly.first_seen[:19].replace("T", " "),
            item.last_seen[11:19],
            safe_text("/".join(part for part in (item.anomaly.tenant_id, item.anomaly.application_id, item.anomaly.model) if part)),
            item.anomaly.detector_id,
            item.anomaly.severity,
            f"{item.score:.2f}",
            item.count,
            safe_text(item.anomaly.description),
        )
        for item in result.fired
    ]
    print_table(("first seen", "last seen", "where", "detector", "severity", "score", "times", "reason"), rows, ("score", "times"))
    counts = Counter(item.anomaly.detector_id for item in result.fired)
    judged = [item.id for item in config.detectors if item.id not in result.skipped]
    print_table(
        ("detector", "would fire", "recorded then"),
        [(name, counts[name], then.get(name, 0)) for name in judged],
        ("would fire", "recorded then"),
    )
