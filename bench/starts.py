"""`python -m bench.starts --home NEW`: what a start of the job `standalone` costs, from the submission to its first checkpoint, a few times over."""

from __future__ import annotations

import argparse
import json
import resource
import time
import uuid
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient, NewTopic

from bench.sampling import FORK_SERVER, cpu_seconds, pss_bytes, service_roots, tree
from bench.stack import DEFAULT_HOME, BenchStack, bring_up

TOPIC = "bench-empty"
PARTITIONS = 2


def main() -> None:
    """One JSON line a start: seconds of the clock since the submission, seconds of CPU, and MiB in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=DEFAULT_HOME, help="folder of the bench's stack; it stays up")
    parser.add_argument("--starts", type=int, default=4)
    options = parser.parse_args()
    stack = bring_up(options.home.resolve())
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    if TOPIC not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result()
    for _ in range(options.starts):
        stack.cancel_all()
        # The workers of the start before need a moment to end.
        time.sleep(5)
        print(json.dumps(start(stack)), flush=True)
    stack.cancel_all()


def start(stack: BenchStack) -> dict[str, float]:
    """Submit once on an empty topic and wait until the first checkpoint is complete."""
    environment = {"SENTINEL_KAFKA_GROUP": f"bench-starts-{uuid.uuid4().hex[:8]}", "SENTINEL_TELEMETRY_TOPICS": TOPIC}
    roots = service_roots(stack.layout)
    before, began = _cpu(roots), time.monotonic()
    job = stack.submit("standalone", "jobs.standalone", [], environment)
    accepted, clients = time.monotonic() - began, _cpu(roots)["clients"] - before["clients"]
    while not stack.rest.tasks_running(job):
        time.sleep(0.1)
    running = time.monotonic() - began
    while not stack.rest.job(job).checkpoints_completed:
        time.sleep(0.1)
    checkpointed, after = time.monotonic() - began, _cpu(roots)
    found = {"accepted_s": accepted, "tasks_run_s": running, "first_checkpoint_s": checkpointed, "clients_cpu_s": clients}
    found |= {f"{name}_cpu_s": after[name] - before[name] for name in ("jobmanager", "taskmanager", "workers")}
    return {name: round(value, 1) for name, value in found.items()} | {"workers_mib": round(pss_bytes(_workers(roots)) / 2**20)}


def _workers(roots: dict[str, int]) -> list[psutil.Process]:
    return tree(roots["taskmanager"])[1:] + (tree(roots[FORK_SERVER]) if FORK_SERVER in roots else [])


def _cpu(roots: dict[str, int]) -> dict[str, float]:
    """CPU seconds so far. The fork server buries the clients' Python processes, whose times then are its own."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = tree(roots[FORK_SERVER]) if FORK_SERVER in roots else []
    return {
        "clients": own.ru_utime + own.ru_stime + cpu_seconds(server[:1]),
        "jobmanager": cpu_seconds(tree(roots["jobmanager"])),
        "taskmanager": cpu_seconds(tree(roots["taskmanager"])[:1]),
        "workers": cpu_seconds(tree(roots["taskmanager"])[1:] + server[1:]),
    }


if __name__ == "__main__":
    main()
