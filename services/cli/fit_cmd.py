"""`sentinel fit`: fit an ARIMA or Prophet forecast to the past, off the hot path; prints the detector that applies it."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from sentinel.backtest.rows import RowError, read_series
from sentinel.config.errors import nearest
from sentinel.config.units import parse_duration
from sentinel.detection.metrics import merge_panes, value
from sentinel.detection.series.fitting import FITS
from sentinel.metrics_vocabulary import METRICS, metric_names
from services.backtest.stored import StoreError, stored_panes
from services.cli.connection import NoAddressError, postgres_dsn
from services.cli.safe_text import safe_text
from services.models.minutes import past


class FitError(ValueError):
    """There is nothing to fit; the text says why."""


def register(app: typer.Typer) -> None:
    """Add the command to the `sentinel` command."""
    app.command("fit")(fit)


def fit(
    strategy: Annotated[Literal["arima", "prophet"], typer.Argument(help="arima or prophet.")],
    input_file: Annotated[Path | None, typer.Option("--input", help="A CSV file (timestamp,value), a row an evaluation.")] = None,
    from_store: Annotated[bool, typer.Option("--from-store", help="Fit to stored minutes of one application.")] = False,
    metric: Annotated[str, typer.Option(help="The metric that the detector watches.")] = "latency_ms",
    application: Annotated[str | None, typer.Option(help="With --from-store: the application.")] = None,
    tenant: Annotated[str | None, typer.Option(help="With --from-store: its tenant.")] = None,
    since: Annotated[str, typer.Option(help="With --from-store: how far back.")] = "7d",
    dsn: Annotated[str | None, typer.Option(help="Postgres DSN; default: SENTINEL_POSTGRES_DSN, else the running stack.")] = None,
) -> None:
    """Fit a forecast and print the detector that applies it, for detection.detectors.items."""
    try:
        if "pane" not in (METRICS[metric].levels if metric in METRICS else ()):
            near = nearest(metric, metric_names("pane"))
            raise FitError(f"expected a metric that windows have, found {metric!r}{f'; did you mean {near}?' if near else ''}")
        if from_store == (input_file is not None):
            raise FitError("expected either --input or --from-store")
        if input_file is not None:
            series = read_series(input_file)
            known = [(at, number) for at, number in zip(series.times_ms, series.values, strict=True) if number == number]
            times, values = [at for at, _ in known], [number for _, number in known]
        else:
            times, values = _stored(metric, application, tenant, since, postgres_dsn(dsn))
        fitted = FITS[strategy][0](times, values)
    except (FitError, RowError, StoreError, NoAddressError, ValueError) as error:
        print(f"sentinel: {safe_text(str(error), keep_lines=True)}", file=sys.stderr)
        raise typer.Exit(1) from None
    config = {"metric": metric, **({"evaluation": "1m", "level": "application"} if from_store else {}), "fitted": fitted}
    detector: dict[str, object] = {
        "id": f"{metric.replace('_', '-')}-{strategy}",
        "type": "statistical",
        "strategy": strategy,
        "config": config,
    }
    if from_store:
        detector["scope"] = {"applications": [application], **({"tenants": [tenant]} if tenant else {})}
    print(yaml.safe_dump([detector], sort_keys=False, default_flow_style=None, width=140), end="")
    print(f"fitted {strategy} to {len(values):,} values", file=sys.stderr)


def _stored(metric: str, application: str | None, tenant: str | None, since: str, dsn: str) -> tuple[list[int], list[float]]:
    if application is None:
        raise FitError("expected --application: a forecast belongs to one series")
    begin, end = past(parse_duration(since))
    times, values = [], []
    with stored_panes(dsn, begin, end, tenant, application) as minutes:
        for panes in minutes:
            by_tenant = defaultdict(list)
            for pane in panes:
                by_tenant[pane.tenant_id].append(pane)
            if len(by_tenant) > 1:
                raise FitError(f"several tenants have an application {application!r}: {', '.join(sorted(by_tenant))}; give --tenant")
            number = value(metric, [merge_panes(panes)]).mean
            if number == number:
                times.append(panes[0].start_ms)
                values.append(number)
    return times, values
