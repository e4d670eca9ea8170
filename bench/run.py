"""The bench: every row on the same stack and, where it says nothing else, the same topic. `python -m bench --help`."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path

import msgspec
import psutil

from bench import (
    alerting,
    alerting_cost,
    classifier_flink,
    detectors,
    engine_cost,
    engine_row,
    enrichment,
    gateway,
    ingestion,
    latency,
    models,
    nab,
    redaction,
    report,
    seeds,
    sidecar,
    udf_cost,
)
from bench.figures import compare_outliers
from bench.flink_row import run_job
from bench.row import Row, outlier_fields
from bench.stack import DEFAULT_HOME, BenchStack, bring_up, sentinel
from bench.topic import CATCH_UP_PER_SECOND, Filled, fill, read_values, recreate, values_at
from services.stack.paths import project_root

EVENTS = 10_000_000
"""So many that the start of a job, and what is compiled in its first minute, are a small part of its run."""
OTHER_EVENTS = 4_000_000
"""At most, for rows that stand beside none of the other engines."""
QUICK_EVENTS = 200_000
KEYS = 1_000
SLOTS = 2
"""For the rates of the standalone job: as many as the bare job has. Its own configuration says 1, which `latency` is measured with."""
TOPIC = "llm-telemetry"
SCALE_KEYS = (100, 10_000, 100_000, 1_000_000)
RESULTS = project_root() / "bench" / "results"


class Bench:
    """One run: the sizes, and a method a row. The stack starts when the first row needs it; rows of plain Python do not."""

    def __init__(self, home: Path, events: int, quick: bool, nab_corpus: Path) -> None:
        self.home, self.events, self.quick, self.nab_corpus = home, events, quick, nab_corpus
        self.command = f"python -m bench --events {events}" + (" --quick" if quick else "")

    @cached_property
    def stack(self) -> BenchStack:
        """The running stack."""
        return bring_up(self.home)

    def close(self) -> None:
        """Stop the stack, if a row started it."""
        if "stack" in self.__dict__:
            sentinel(self.home, "down")

    def rows(self) -> dict[str, Callable[[], Row]]:
        """Name → what measures it, in the order of a full run."""
        scale: dict[str, Callable[[], Row]] = {f"scale-keys-{keys}": lambda keys=keys: self.scale_keys(keys) for keys in SCALE_KEYS}  # type: ignore[misc]
        return {
            "udf": lambda: udf_cost.run(self._row("udf", "plain Python cost of the hop's steps, one core, no Flink")),
            "enrichment": lambda: enrichment.run(self._row("enrichment", "what the door adds to an event, one core, no Flink")),
            "redaction": lambda: redaction.run(self._row("redaction", "personal data in a text of 1,000 characters, one core, no Flink")),
            "seeds": lambda: seeds.run(
                self._row("seeds", "injected trouble found, delays, false alarms; seeds drawn at run, no Flink"), self.quick
            ),
            "detectors": lambda: detectors.run(
                self.stack,
                self._row(
                    "detectors", "detection job with 10 and 100 detectors on 1,000 keys; the same in plain Python, beside River and PyOD"
                ),
                min(self.events, OTHER_EVENTS),
                KEYS,
                self.quick,
            ),
            "engine-cost": lambda: engine_cost.run(
                self._row("engine-cost", "10, 30 and 100 detectors on panes, one core, no Flink"), self.quick
            ),
            "model-rates": lambda: models.rates(
                self._row("model-rates", "updates per second of detectors, River and PyOD; one core"), self.quick
            ),
            "model-quality": lambda: models.quality(
                self._row("model-quality", "trained models against the plain z-score; seeds drawn at run, no Flink"), self.quick
            ),
            "nab": lambda: nab.run(self._row("nab", "detectors on files of the Numenta Anomaly Benchmark, no Flink"), self.nab_corpus),
            "classifier": self.classifier,
            "detection-classifier": lambda: classifier_flink.run(
                self.stack,
                self._row("detection-classifier", "detection job with the injection classifier on, a prompt of 40 words an event"),
                QUICK_EVENTS if self.quick else min(self.events, 1_000_000),
                KEYS,
            ),
            "bare-decode": self.bare_decode,
            "standalone": self.standalone,
            "catch-up": self.catch_up,
            **{f"ingestion{choice}": lambda choice=choice: self.ingestion(choice) for choice in ingestion.CHOICES},  # type: ignore[misc]
            "zscore-hop": lambda: self.zscore("hop", "decode and validate in the product's Python hop, panes, keyed z-score"),
            "zscore-sql": lambda: self.zscore("sql", "decode in SQL, panes, keyed z-score"),
            "bytewax": lambda: self.bytewax(snapshots=False),
            "bytewax-snapshots": lambda: self.bytewax(snapshots=True),
            "quix": self.quix,
            "scale-slots-1": lambda: self.scale_slots(1),
            "scale-slots-2": lambda: self.scale_slots(2),
            **scale,
            "latency": lambda: latency.run(self.stack, self._row("latency", "end to end at a steady rate, standalone job"), self.quick),
            "latency-slots-2": lambda: latency.run(
                self.stack, self._row("latency-slots-2", "the same with 2 slots, as the rates are measured with"), self.quick, SLOTS
            ),
            "alerting-cost": lambda: alerting_cost.run(self._row("alerting-cost", "what an anomaly costs alerting, one core, no Flink")),
            "alerting": lambda: alerting.run(
                self.stack, self._row("alerting", "anomalies to notifications, beside Alertmanager"), self.quick
            ),
            "gateway": self.gateway,
            "sidecar": self.sidecar,
            "stack": lambda: latency.run_stack(
                self.stack.layout.home, self._row("stack", "`up` with everything cached; memory 60 s after ready")
            ),
        }

    def _row(self, name: str, what: str) -> Row:
        return Row(name=name, what=what, command=f"{self.command} --only {name}")

    def _topic(self) -> Filled:
        return fill(self.stack.bootstrap, self.stack.layout.home, TOPIC, self.events, KEYS)

    def _small(self, keys: int, events: int) -> Filled:
        return fill(self.stack.bootstrap, self.stack.layout.home, f"bench-{events}-{keys}", events, keys)

    def bare_decode(self) -> Row:
        row = self._row("bare-decode", "Flink reads and decodes (SQL `json`, the fields in use) into nothing")
        return run_job(self.stack, row, "bench.jobs.bare_decode", [], "bare_decode", self._topic())

    def standalone(self) -> Row:
        row = self._row("standalone", "the whole product: validation, rules, panes, detectors, correlation, alerts, all sinks; 2 slots")
        return self._standalone(row, self._topic())

    def catch_up(self) -> Row:
        filled = fill(
            self.stack.bootstrap, self.stack.layout.home, "bench-catch-up", min(self.events, OTHER_EVENTS), KEYS, CATCH_UP_PER_SECOND
        )
        row = self._row("catch-up", f"the same on a backlog of {CATCH_UP_PER_SECOND:,} events a second, read faster than it happened")
        return self._standalone(row, filled)

    def ingestion(self, choice: str) -> Row:
        what = {"": "", "-once": ", each id once for all tenants", "-pairing": ", requests and answers paired for all tenants"}[choice]
        row = self._row(f"ingestion{choice}", f"the ingestion job on {ingestion.SLOTS} slots, written exactly once{what}")
        return ingestion.run(self.stack, row, self._small(KEYS, min(self.events, OTHER_EVENTS)), choice)

    def scale_slots(self, slots: int) -> Row:
        row = self._row(f"scale-slots-{slots}", f"standalone with {slots} slot{'s'[: slots > 1]}")
        return self._standalone(row, self._shorter_topic(KEYS), slots)

    def scale_keys(self, keys: int) -> Row:
        return self._standalone(self._row(f"scale-keys-{keys}", f"standalone with {keys:,} live keys"), self._shorter_topic(keys))

    def _shorter_topic(self, keys: int) -> Filled:
        return self._small(keys, QUICK_EVENTS if self.quick else min(self.events, 1_500_000))

    def _standalone(self, row: Row, filled: Filled, slots: int = SLOTS) -> Row:
        self.stack.cancel_all()
        self.stack.empty_tables()
        run_job(self.stack, row, "jobs.standalone", [], "standalone", filled, slots)
        row.details["counted_in_postgres"] = self.stack.counted()
        return row

    def zscore(self, decode: str, what: str) -> Row:
        row = self._row(f"zscore-{decode}", what)
        filled, target = self._topic(), f"bench-outliers-{decode}"
        recreate(self.stack.bootstrap, target, 1)
        run_job(self.stack, row, "bench.jobs.zscore", [decode, target], "zscore", filled)
        found = [value.decode() for value in read_values(self.stack.bootstrap, target)]
        if decode == "sql":
            places = [(int(partition), int(offset)) for partition, _, offset in (place.partition(":") for place in found)]
            found = [json.loads(value)["event_id"] for value in values_at(self.stack.bootstrap, filled.topic, places)]
        row.outliers = outlier_fields(compare_outliers(filled.planted, found, filled.learning))
        return row

    def bytewax(self, snapshots: bool) -> Row:
        self.stack.cancel_all()
        engine_row.prepare()
        suffix = "-snapshots" if snapshots else ""
        row = self._row(
            f"bytewax{suffix}", f"Bytewax 0.21: orjson, z-score per event, {'snapshots every 5 s' if snapshots else 'nothing saved'}"
        )
        return engine_row.run_bytewax(self.stack.bootstrap, row, self._topic(), snapshots)

    def gateway(self) -> Row:
        self.stack.cancel_all()
        return gateway.run(
            self._row("gateway", "events made durable by one gateway process, by door"), self.stack.bootstrap, quick=self.quick
        )

    def sidecar(self) -> Row:
        self.stack.cancel_all()
        return sidecar.run(
            self._row("sidecar", "a sidecar beside an application: rules, answers, the way on"), self.stack.bootstrap, quick=self.quick
        )

    def quix(self) -> Row:
        self.stack.cancel_all()
        engine_row.prepare()
        row = self._row("quix", "Quix Streams 3.28: orjson, z-score per event, state in RocksDB")
        return engine_row.run_quix(self.stack.bootstrap, row, self._topic())

    def classifier(self) -> Row:
        from bench import classifier_cost

        return classifier_cost.run(self._row("classifier", "plain Python cost of the injection classifier, one core, no Flink"))


def machine() -> dict[str, object]:
    """What the figures were measured on, and with."""
    packages = ("apache-flink", "confluent-kafka", "msgspec", "numpy", "pandas")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": [round(load, 2) for load in psutil.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, help=f"events in the topic (default {EVENTS:,}; with --quick {QUICK_EVENTS:,})")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that everything works, not how fast it is")
    parser.add_argument("--only", default="", help="rows to measure, comma-separated")
    parser.add_argument("--rounds", type=int, default=1, help="measure the rows so often in turns, and tell the medians")
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="folder of the bench's own stack")
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running afterwards")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    parser.add_argument("--nab", type=Path, default=nab.DEFAULT_CORPUS, help="corpus of the row nab: data/FAMILY/FILE.csv and windows.json")
    options = parser.parse_args()
    begun = datetime.datetime.now(datetime.UTC)
    found = machine()
    names = [name for name in options.only.split(",") if name]
    bench = Bench(options.home.resolve(), options.events or (QUICK_EVENTS if options.quick else EVENTS), options.quick, options.nab)
    rows = bench.rows()
    if unknown := set(names) - rows.keys():
        parser.error(f"no row is named {', '.join(sorted(unknown))}; rows: {', '.join(rows)}")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: expected at least 1")
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{begun:%Y-%m-%dT%H%M}.json"
    command = bench.command + (f" --rounds {options.rounds}" if options.rounds > 1 else "")
    document: dict[str, object] = {"begun": begun.isoformat(timespec="seconds"), "command": command, "machine": found, "rows": []}
    measured: list[Row] = []
    try:
        for turn, name in product(range(1, options.rounds + 1), rows):
            if not names or name in names:
                print(f"bench: {name}" + (f", round {turn} of {options.rounds}" if options.rounds > 1 else ""), file=sys.stderr)
                row = rows[name]()
                row.round = turn
                measured.append(row)
                document["rows"] = msgspec.to_builtins(measured)
                # Written after every row: a row that fails late loses nothing.
                target.write_text(json.dumps(document, indent=1) + "\n")
    finally:
        if not options.keep_up:
            bench.close()
    print(report.render(document))
    print(f"\n{target}")


if __name__ == "__main__":
    main()
