"""Run a comparison engine over a filled topic, in an environment of its own, and measure it as the Flink jobs are."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import IO, Any

from bench.figures import compare_outliers, last_event_s, merged_progress
from bench.row import Row, outlier_fields, take_rates
from bench.sampling import Sampler
from bench.topic import Filled, delete_topics_of
from services.stack.paths import project_root

FOLDER = project_root() / "bench"
PYTHON = FOLDER / ".venv" / "bin" / "python"
PROCESSES = 2
"""As many as the Flink jobs have slots."""
SNAPSHOT_S = 5


def prepare() -> None:
    """Make bench/.venv from its lock, unless it is there."""
    done = FOLDER / ".venv" / ".done"
    lock = FOLDER / "requirements.lock"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    print("bench: environment of the comparison engines", file=sys.stderr)
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(FOLDER / ".venv")], check=True)
    subprocess.run([uv, "pip", "sync", "--quiet", "--python", str(PYTHON), "--require-hashes", str(lock)], check=True)
    done.touch()


def run_bytewax(bootstrap: str, row: Row, filled: Filled, snapshots: bool) -> Row:
    """Two processes of one worker each; with snapshots, its recovery store is written every five seconds, as our checkpoints are."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(PYTHON), "-m", "bytewax.testing", "bench.engines.bytewax_zscore:flow", "-p", str(PROCESSES)]
        if snapshots:
            subprocess.run([str(PYTHON), "-m", "bytewax.recovery", scratch, str(PROCESSES)], check=True)
            command += ["-r", scratch, "-s", str(SNAPSHOT_S), "-b", "0"]
        return _measure([command], row, filled, {"BENCH_BOOTSTRAP": bootstrap, "BENCH_TOPIC": filled.topic})


def run_quix(bootstrap: str, row: Row, filled: Filled) -> Row:
    """Two processes of one consumer group, state in RocksDB with changelog topics, as is its default. Its topics are gone afterwards."""
    group = f"bench-quix-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as scratch:
        variables = {"BENCH_BOOTSTRAP": bootstrap, "BENCH_TOPIC": filled.topic, "BENCH_GROUP": group, "BENCH_STATE": scratch}
        command = [str(PYTHON), "-m", "bench.engines.quix_zscore"]
        try:
            return _measure([command] * PROCESSES, row, filled, variables)
        finally:
            delete_topics_of(bootstrap, group)


def _measure(commands: list[list[str]], row: Row, filled: Filled, variables: dict[str, str]) -> Row:
    row.events = filled.events
    environment = os.environ | variables | {"PYTHONPATH": str(project_root()), "PYTHONUNBUFFERED": "1"}
    began = time.time()
    children = [
        subprocess.Popen(command, env=environment, cwd=project_root(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    lines: queue.Queue[str] = queue.Queue()
    errors: list[str] = []
    for child in children:
        assert child.stdout is not None and child.stderr is not None
        threading.Thread(target=_forward, args=(child.stdout, lines.put), daemon=True).start()
        threading.Thread(target=_forward, args=(child.stderr, errors.append), daemon=True).start()
    sampler = Sampler({f"engine-{number}": child.pid for number, child in enumerate(children)})
    try:
        while any(child.poll() is None for child in children):
            sampler.sample()
            time.sleep(0.25)
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
    if any(child.returncode for child in children):
        raise SystemExit(f"bench: row {row.name} ended with status {[c.returncode for c in children]}: {''.join(errors[-5:]).strip()}")
    found, progress = _read(lines)
    row.wall_s = round(last_event_s(progress) - began, 1)
    take_rates(row, [(began, 0), *progress], sampler)
    row.outliers = outlier_fields(compare_outliers(filled.planted, found, filled.learning))
    return row


def _forward(stream: IO[str], to: Any) -> None:
    for line in stream:
        to(line)


def _read(lines: queue.Queue[str]) -> tuple[list[str], list[tuple[float, int]]]:
    found: list[str] = []
    progress: list[tuple[float, object, int]] = []
    while not lines.empty():
        text = lines.get()
        if not text.startswith("{"):
            continue
        line = json.loads(text)
        if "found" in line:
            found.append(line["found"])
        else:
            progress.append((line["t"], line["pid"], line["events"]))
    return found, merged_progress(progress)
