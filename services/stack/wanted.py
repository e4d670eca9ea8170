"""What should be running beside the fixed services: Flink jobs and optional supervised services. Survives `down`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.stack.locks import file_lock
from services.stack.paths import Layout
from services.stack.state import write_atomically


class WantedJob(BaseModel):
    """A job that the supervisor submits again when the JobManager has forgotten it."""

    name: str
    module: str
    args: list[str] = []
    parallelism: int | None = None
    """Slots that were asked for; None: as flink-conf says."""
    job_id: str | None = None
    """Flink's id of the newest submission."""


_JOBS = TypeAdapter(dict[str, WantedJob])


def wanted_jobs(layout: Layout) -> dict[str, WantedJob]:
    """Job name → job; empty when nothing was ever submitted."""
    try:
        return _JOBS.validate_json(layout.jobs_file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def want_job(layout: Layout, job: WantedJob) -> None:
    """Adds or replaces a wanted job."""
    with file_lock(layout.run / "jobs.lock", "the list of jobs", 10):
        jobs = wanted_jobs(layout) | {job.name: job}
        write_atomically(layout.jobs_file, _JOBS.dump_json(jobs, indent=1).decode())


def unwant_job(layout: Layout, name: str) -> None:
    """Removes a wanted job; a name that is not there is fine."""
    with file_lock(layout.run / "jobs.lock", "the list of jobs", 10):
        jobs = {key: job for key, job in wanted_jobs(layout).items() if key != name}
        write_atomically(layout.jobs_file, _JOBS.dump_json(jobs, indent=1).decode())


def wanted_services(layout: Layout) -> list[str]:
    """Names of the optional services that should run."""
    try:
        found = json.loads(layout.services_file.read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [str(name) for name in found] if isinstance(found, list) else []


def want_service(layout: Layout, name: str, wanted: bool) -> None:
    """Switches an optional service on or off; the supervisor follows within a second."""
    with file_lock(layout.run / "services.lock", "the list of services", 10):
        names = [other for other in wanted_services(layout) if other != name] + ([name] if wanted else [])
        write_atomically(layout.services_file, json.dumps(names))


def backend_of(checkpoint: Path) -> str | None:
    """State backend, `rocksdb` or `hashmap`, that wrote a checkpoint; None for a savepoint, which both read, and where nothing is."""
    metadata = checkpoint / "_metadata"
    if not checkpoint.name.startswith("chk-") or not metadata.is_file():
        return None
    # A RocksDB is a folder of files, one of which is its manifest.
    return "rocksdb" if b"MANIFEST-" in metadata.read_bytes() else "hashmap"


def drop_old_checkpoints(folder: Path, wanted: Path | None = None) -> None:
    """Deletes what earlier submissions left below a job's checkpoint folder, but for that of the newest checkpoint and that of `wanted`."""
    newest = newest_checkpoint(folder)
    if newest is None:
        return
    kept = {newest.parent, *(wanted.resolve().parents if wanted else ())}
    for old in folder.iterdir():
        if old.is_dir() and old not in kept and old.resolve() not in kept:
            shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """Newest completed checkpoint below a job's checkpoint folder (job ids change at every submission), or None.

    Only a directory with `_metadata` is complete.
    """
    complete = [metadata for metadata in folder.glob("*/chk-*/_metadata") if metadata.is_file()]
    return max(complete, key=lambda path: path.stat().st_mtime).parent if complete else None
