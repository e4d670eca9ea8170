"""How much injected trouble is found, how fast, and how often nothing is wrong: seeds drawn when it runs, no Flink.

Each seed is a world of its own (applications, models, users, rates) with one trouble of every kind, at applications and times drawn from it.
"""

from __future__ import annotations

import multiprocessing
import secrets
import statistics
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from bench.offline import detect
from bench.row import Row
from sentinel.config.load import default_config
from sentinel.config.runtime import RuntimeConfig
from services.demo.matching import EXPECTED
from services.traffic.generator import TrafficSettings, generate_events
from services.traffic.injection import Injector
from services.traffic.plan import parse_plan
from services.traffic.truth import Truth

SEEDS = 20
QUIET_S, TROUBLE_S = 130, 60
GRACE_MS = 15_000
STANDARD = {
    "latency_spike": {"factor": 3.0}, "error_burst": {"share": 0.2}, "cost_runaway": {"factor": 4.0}, "token_explosion": {"factor": 4.0},
    "prompt_injection_wave": {"prompts": 30}, "user_misuse": {"factor": 15.0}, "silence": {},
}  # fmt: skip
"""The sizes of the demonstration."""
FACTORS = (1.5, 2.0, 3.0, 5.0)
SHARES = (0.02, 0.05, 0.1, 0.2)
"""Of failing calls, where 1 % fail anyway."""
DAY_S = 86_400
DAY_RATE = 30.0
"""Events per second of the quiet day, over 12 applications."""
ALERTING = ("warning", "critical")


class Outcome(NamedTuple):
    """What became of one trouble: delay in seconds from its start (None: not found), and for how many the pane is short of it."""

    kind: str
    size: float
    delay_s: float | None


class Run(NamedTuple):
    outcomes: list[Outcome]
    false_alarms: list[str]
    """Detector and application of each anomaly outside of all trouble."""
    application_days: float


def run_seed(start_ms: int, seed: int, sizes: dict[str, dict[str, float]], rate: float = 200.0) -> Run:
    """One world, with one trouble of each kind in `sizes`."""
    settings = TrafficSettings(seed=seed, rate=rate)
    world = settings.world()
    rng = np.random.default_rng([seed, 77])
    places = rng.permutation(len(world.applications))
    injections = [
        {
            "kind": kind,
            "at": QUIET_S + float(rng.uniform(0, 40)),
            "duration": TROUBLE_S,
            "tenant": world.applications[places[number]].tenant_id,
            "application": world.applications[places[number]].application_id,
            **size,
        }
        for number, (kind, size) in enumerate(sizes.items())
    ]
    length = QUIET_S + 40 + TROUBLE_S + 30
    injector = Injector(parse_plan({"seed": seed, "injections": injections}, "seeds"), start_ms)
    config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
    first: dict[int, int] = {}
    false: dict[str, str] = {}
    for anomaly, at_ms in detect(injector.apply(generate_events(settings, start_ms, duration_s=length)), config):
        inside = [
            (number, truth)
            for number, truth in enumerate(injector.truth)
            if (truth.tenant_id, truth.application_id) == (anomaly.tenant_id, anomaly.application_id)
            and truth.start_ms <= at_ms <= truth.end_ms + GRACE_MS
        ]
        for number, truth in inside:
            if EXPECTED[truth.kind].fits(anomaly.detector_id, anomaly.metric):
                first[number] = min(at_ms, first.get(number, at_ms))
        if not inside and anomaly.severity in ALERTING:
            false[anomaly.anomaly_id] = f"{anomaly.detector_id} {anomaly.application_id}"
    outcomes = [_outcome(truth, first.get(number)) for number, truth in enumerate(injector.truth)]
    return Run(outcomes, list(false.values()), len(world.applications) * length / DAY_S)


def _outcome(truth: Truth, at_ms: int | None) -> Outcome:
    return Outcome(truth.kind, next(iter(truth.size.values()), 0.0), None if at_ms is None else (at_ms - truth.start_ms) / 1000)


def quiet_day(start_ms: int, seed: int, seconds: int = DAY_S, rate: float = DAY_RATE) -> Run:
    """One day of 12 applications with the rhythm of a day, and no trouble."""
    settings = TrafficSettings(seed=seed, rate=rate)
    config = RuntimeConfig.from_snapshot(1, default_config().config.to_snapshot())
    false = {
        anomaly.anomaly_id: f"{anomaly.detector_id} {anomaly.application_id}"
        for anomaly, _ in detect(generate_events(settings, start_ms, duration_s=seconds), config)
        if anomaly.severity in ALERTING
    }
    return Run([], list(false.values()), len(settings.world().applications) * seconds / DAY_S)


def run(row: Row, quick: bool) -> Row:
    """Fill the row: recall and delay at the sizes of the demonstration, recall by size, false alarms of a quiet day."""
    seeds = [secrets.randbelow(2**31) for _ in range(3 if quick else SEEDS)]
    print(f"bench: seeds {', '.join(map(str, seeds))}", file=sys.stderr)
    # A whole day, begun at midnight: the door refuses what is older than a week or of the future.
    begin = (int(time.time() * 1000) // 86_400_000 - 1) * 86_400_000
    tasks: list[tuple[Any, ...]] = [(quiet_day, begin, seeds[0], 3600 if quick else DAY_S)]
    tasks += [(run_seed, begin, seed, STANDARD) for seed in seeds]
    tasks += [(run_seed, begin, seed, _sized(step)) for step in range(len(FACTORS)) for seed in seeds[: max(2, len(seeds) // 2)]]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        runs = pool.map(_call, tasks, chunksize=1)
    quiet, rest = runs[0], runs[1:]
    row.details = {"seeds": " ".join(map(str, seeds)), **_figures(rest[: len(seeds)]), "by size": _by_size(rest[len(seeds) :])}
    alarms = Counter(name.split()[0] for name in quiet.false_alarms)
    row.details["quiet day"] = {
        "application days": round(quiet.application_days, 2),
        "false alarms": len(quiet.false_alarms),
        "per application and day": round(len(quiet.false_alarms) / quiet.application_days, 3),
        "by detector": dict(alarms),
    }
    return row


def _call(task: tuple[Any, ...]) -> Run:
    function, *arguments = task
    result: Run = function(*arguments)
    return result


def _sized(step: int) -> dict[str, dict[str, float]]:
    sizes: dict[str, dict[str, float]] = {
        kind: {"factor": FACTORS[step]} for kind in ("latency_spike", "cost_runaway", "token_explosion", "user_misuse")
    }
    return {**sizes, "error_burst": {"share": SHARES[step]}}


def _figures(runs: list[Run]) -> dict[str, Any]:
    outcomes = [outcome for run in runs for outcome in run.outcomes]
    found = [outcome.delay_s for outcome in outcomes if outcome.delay_s is not None]
    kinds: dict[str, Any] = {}
    for kind in STANDARD:
        own = [outcome for outcome in outcomes if outcome.kind == kind]
        delays = [outcome.delay_s for outcome in own if outcome.delay_s is not None]
        kinds[kind] = f"{len(delays)} of {len(own)}, median delay {statistics.median(delays):.1f} s" if delays else f"0 of {len(own)}"
    alarms = [name for run in runs for name in run.false_alarms]
    return {
        "recall": round(len(found) / len(outcomes), 4),
        "troubles": len(outcomes),
        "median delay s": round(statistics.median(found), 2) if found else None,
        "by kind": kinds,
        "false alarms beside trouble": len(alarms),
        "false alarms by detector": dict(Counter(name.split()[0] for name in alarms)),
    }


def _by_size(runs: list[Run]) -> dict[str, str]:
    """Kind → found of injected for each size, smallest first."""
    table: dict[str, dict[float, list[bool]]] = {}
    for outcome in (outcome for run in runs for outcome in run.outcomes):
        table.setdefault(outcome.kind, {}).setdefault(outcome.size, []).append(outcome.delay_s is not None)
    return {
        kind: ", ".join(f"{'×' if size > 1 else ''}{size:g}: {sum(found)}/{len(found)}" for size, found in sorted(sizes.items()))
        for kind, sizes in table.items()
    }
