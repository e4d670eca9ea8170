"""A threshold, a regular expression and a model change under traffic, without a restart: what the running job makes of it, place by place.

`python -m bench.live_change` trains two versions of a model on generated history, lets `sentinel generate` send live traffic to the standalone job, and
changes one thing after the other with the commands that anybody uses. Times are of this machine's clock: a change counts from its record on
`sentinel-config`, an anomaly is written when a consumer has it in hand. Exit code 1 when a change did not arrive everywhere, an event is missing,
or the job restarted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import yaml

from bench.live_findings import Change, LiveWatcher, render
from bench.stack import DEFAULT_HOME, BenchStack, bring_up, sentinel
from bench.topic import start_at_end
from services.stack.submit import wait_running

INPUTS = ("llm-telemetry", "llm-metrics")
WORLD = ("--tenants", "4", "--applications", "40", "--models", "1", "--flat")
RATE = 60
HISTORY_MIN = 45
SETTLE_S = 90
"""A model judges the last whole minute."""
BETWEEN_S = 40
OLD_LIMIT_MS, NEW_LIMIT_MS = 200.0, 100.0
OLD_WORD, NEW_WORD = "about", "which"
MODEL = "panes"


def configuration(limit_ms: float, word: str) -> dict[str, Any]:
    """Detectors that find something all the time, so that the moment of a change shows; an id lives 10 s, so that there are new ones."""

    def detector(name: str, kind: str, strategy: str, **config: Any) -> dict[str, Any]:
        return {"id": name, "type": kind, "strategy": strategy, "config": config}

    items = [
        detector("slow-call", "rule", "threshold", metric="latency_ms", value=limit_ms),
        detector("slow-seconds", "rule", "threshold", metric="latency_ms", value=limit_ms, window="5s"),
        detector("word", "rule", "pattern", fields=["prompt"], patterns=[{"id": word, "pattern": rf"(?i)\b{word}\b"}]),
        detector("odd-minutes", "ml", "kmeans", model=MODEL, threshold=0.01, consecutive=1, repeat="10s"),
    ]
    return {"version": "v1", "detection": {"detectors": {"items": items}}, "alerting": {"deduplication": {"window": "10s"}}}


def main() -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_change", description=__doc__)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="folder of the bench's own stack")
    parser.add_argument("--keep-up", action="store_true", help="leave the stack running afterwards")
    given = parser.parse_args()
    home = given.home.resolve()
    stack = bring_up(home)
    try:
        return _run(stack, home)
    finally:
        stack.cancel_all()
        if not given.keep_up:
            sentinel(home, "down")


def _run(stack: BenchStack, home: Path) -> int:
    stack.empty_tables()
    group = f"bench-live-{uuid.uuid4().hex[:8]}"
    start_at_end(stack.bootstrap, f"{group}-standalone", *INPUTS)
    job = stack.submit("standalone", "jobs.standalone", [], {"SENTINEL_KAFKA_GROUP": group})
    wait_running(stack.layout, "standalone", lambda text: print(f"  {text}", file=sys.stderr))

    history = _generated(_generate(home, "--rate", str(RATE), "--duration", f"{HISTORY_MIN}m", "--speed", "max"))
    _until_counted(stack, history)
    first = _train(home, 1)
    second = _train(home, 2)
    sentinel(home, "models", "promote", MODEL, str(first))
    _apply(home, configuration(OLD_LIMIT_MS, OLD_WORD))

    watcher = LiveWatcher(stack.bootstrap)
    watcher.start()
    seconds = SETTLE_S + 3 * BETWEEN_S
    traffic = _generate(home, "--rate", str(RATE), "--duration", f"{seconds}s", "--seed", "7")
    time.sleep(SETTLE_S)
    changes = []

    def change(what: str, command: str, do: Any, *judged: tuple[str, str, str]) -> None:
        since = time.time()
        do()
        changes.append(Change(what, command, since, watcher.configured_since(since), judged))
        time.sleep(max(0.0, since + BETWEEN_S - time.time()))

    limits = (f"{OLD_LIMIT_MS:g}", f"{NEW_LIMIT_MS:g}")
    change(
        f"threshold {limits[0]} → {limits[1]} ms", "sentinel config apply", lambda: _apply(home, configuration(NEW_LIMIT_MS, OLD_WORD)),
        ("slow-call", *limits), ("slow-seconds", *limits),
    )  # fmt: skip
    change(
        f"regex \\b{OLD_WORD}\\b → \\b{NEW_WORD}\\b", "sentinel config apply", lambda: _apply(home, configuration(NEW_LIMIT_MS, NEW_WORD)),
        ("word", OLD_WORD, NEW_WORD),
    )  # fmt: skip
    change(
        f"model {MODEL}/{first} → {MODEL}/{second}", f"sentinel models promote {MODEL} {second}",
        lambda: sentinel(home, "models", "promote", MODEL, str(second)), ("odd-minutes", f"{MODEL}/{first}", f"{MODEL}/{second}"),
    )  # fmt: skip
    sent = history + _generated(traffic)
    counted = _until_counted(stack, sent)
    findings = watcher.stop()
    restarts = stack.rest.restarts(job)
    report, complete = render(changes, findings)
    print(report)
    print(
        f"\n{sent:,} events sent and acknowledged ({history:,} of history, then {RATE}/s for {seconds} s); "
        f"{', '.join(f'{count:,} {kind}' for kind, count in sorted(counted.items()))}; the job restarted {restarts} times."
    )
    return 0 if complete and restarts == 0 and sum(counted.values()) == sent else 1


def _apply(home: Path, document: dict[str, Any]) -> None:
    path = home / "live-change.yaml"
    path.write_text(yaml.safe_dump(document))
    sentinel(home, "config", "apply", str(path))


def _train(home: Path, seed: int) -> int:
    sentinel(home, "models", "train", "kmeans", "--name", MODEL, "--since", "2h", "--seed", str(seed), "--with-trouble")
    listed = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "models", "list", "--output", "json"],
        env=_environment(home), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return max(int(row["version"]) for row in json.loads(listed.stdout) if row["name"] == MODEL)


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"SENTINEL_HOME": str(home)}


def _generate(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "services.cli.main", "generate", *WORLD, *arguments, "--output", "json"]
    return subprocess.Popen(command, env=_environment(home), stdout=subprocess.PIPE)


def _generated(process: subprocess.Popen[bytes]) -> int:
    """Events that the generator had acknowledged, once it is done."""
    said, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit("bench: `sentinel generate` failed; its message is above")
    return int(json.loads(said)["acked"])


def _until_counted(stack: BenchStack, events: int) -> dict[str, int]:
    """What the job counted, by kind, as soon as it is all of them (or after two minutes)."""
    deadline = time.time() + 120
    while sum((counted := stack.counted()).values()) < events and time.time() < deadline:
        time.sleep(1.0)
    return counted


if __name__ == "__main__":
    sys.exit(main())
