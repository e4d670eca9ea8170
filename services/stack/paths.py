"""Where the embedded stack keeps its files: one folder, ignored by git, deletable as a whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def project_root() -> Path:
    """Folder that holds the packages (`services`, `sentinel`, …), flink-conf/ and schemas/."""
    return Path(__file__).resolve().parents[2]


def default_home() -> Path:
    """`$SENTINEL_HOME`, else `.sentinel` of the checkout, else `.sentinel` of the current folder."""
    override = os.environ.get("SENTINEL_HOME")
    if override:
        return Path(override).expanduser().resolve()
    root = project_root()
    base = root if (root / "pyproject.toml").exists() else Path.cwd()
    return base / ".sentinel"


@dataclass(frozen=True)
class Layout:
    """Folders and files below one home."""

    home: Path

    @property
    def run(self) -> Path:
        """Process ids, ports, passwords, rendered configuration; empty after `down` but for the password and the wanted jobs."""
        return self.home / "run"

    @property
    def data(self) -> Path:
        """What survives `down`: Kafka, Postgres and OpenSearch data, checkpoints, savepoints."""
        return self.home / "data"

    @property
    def logs(self) -> Path:
        """One log a service, plus `submit-<job>.log`."""
        return self.home / "logs"

    @property
    def cache(self) -> Path:
        """Class-path folders linked from the shared jar cache."""
        return self.home / "cache"

    @property
    def tmp(self) -> Path:
        """Temporary folder of every child process; removed at `down`."""
        return self.run / "tmp"

    @property
    def state_file(self) -> Path:
        """Written by the supervisor, read by everybody else."""
        return self.run / "state.json"

    @property
    def jobs_file(self) -> Path:
        """Jobs that should be running."""
        return self.run / "jobs.json"

    @property
    def services_file(self) -> Path:
        """Optional supervised services that should be running."""
        return self.run / "services.json"

    @property
    def flink_conf(self) -> Path:
        """FLINK_CONF_DIR of the cluster."""
        return self.run / "flink"

    @property
    def password_file(self) -> Path:
        """Postgres password of the product's role, readable by its owner only."""
        return self.run / "postgres.password"

    def checkpoints(self, job: str) -> Path:
        """Folder of all checkpoints of a job name, whatever job ids it had."""
        return self.data / "checkpoints" / job

    def create(self) -> None:
        """Makes the folders; idempotent."""
        for folder in (self.run, self.data, self.logs, self.cache, self.tmp, self.flink_conf):
            folder.mkdir(parents=True, exist_ok=True)
