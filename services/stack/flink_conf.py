"""Renders Flink configuration: committed base + the topology's overlay + what only this machine knows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from services.stack.errors import StackError
from services.stack.flink_jars import wheel
from services.stack.paths import project_root
from services.stack.python_forks import python_of
from services.stack.service import Context

Config = dict[str, Any]
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def conf_dir() -> Path:
    """Folder of the committed configuration files."""
    return project_root() / "flink-conf"


def load(path: Path) -> Config:
    """Reads a Flink YAML file into dotted keys; raises StackError naming the file when it is not a mapping."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"Flink configuration {path} could not be read: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise StackError(f"Flink configuration {path} is a {type(content).__name__}, expected a mapping of options.")
    return flatten(content)


def flatten(content: dict[str, Any], prefix: str = "") -> Config:
    """`{a: {b: 1}}` → `{"a.b": 1}`."""
    flat: Config = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def megabytes(config: Config, key: str) -> int:
    """A memory option in MiB; raises StackError when it is not like `640m`."""
    match = re.fullmatch(r"(\d+)\s*([kmg])b?", str(config.get(key, "")).strip().lower())
    if match is None:
        raise StackError(f"flink-conf/config.yaml: {key} is '{config.get(key)}', expected a size such as 640m.")
    return int(match.group(1)) * _UNITS[match.group(2)] // _UNITS["m"]


def cluster_config(context: Context) -> Config:
    """Configuration of the session cluster."""
    layout, ports = context.layout, context.ports
    return load(conf_dir() / "config.yaml") | {
        "jobmanager.rpc.port": ports["flink-rpc"],
        "rest.port": ports["flink"],
        "rest.bind-port": str(ports["flink"]),
        "io.tmp.dirs": str(layout.tmp),
        "blob.storage.directory": str(layout.tmp),
        "web.tmpdir": str(layout.tmp),
        "execution.checkpointing.dir": layout.checkpoints("unnamed").as_uri(),
        "execution.checkpointing.savepoint-dir": (layout.data / "savepoints").as_uri(),
        "python.executable": python_of(layout),
        "python.client.executable": sys.executable,
    }


def job_config(context: Context, topology: str, job: str, parallelism: int | None = None) -> Config:
    """Configuration that a client submits `topology` with, under the name `job`; its checkpoints go into a folder of that name.

    `parallelism` goes before what the configuration says.
    """
    overlay = conf_dir() / f"{topology}.yaml"
    return (
        cluster_config(context)
        | (load(overlay) if overlay.exists() else {})
        | {
            "execution.target": "remote",
            "execution.attached": False,
            "execution.checkpointing.dir": context.layout.checkpoints(job).as_uri(),
            "pipeline.name": job,
        }
        | ({} if parallelism is None else {"parallelism.default": parallelism})
    )


def write(config: Config, folder: Path) -> None:
    """Writes `config.yaml` into `folder`, which becomes a FLINK_CONF_DIR."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, width=10_000))


def flink_environment(context: Context, folder: Path) -> dict[str, str]:
    """Environment of a Flink JVM with `folder` as its FLINK_CONF_DIR."""
    return context.environment() | {
        "FLINK_HOME": str(wheel()),
        "FLINK_CONF_DIR": str(folder),
        "FLINK_LIB_DIR": str(context.layout.cache / "flink-lib"),
        "FLINK_OPT_DIR": str(wheel() / "opt"),
        "FLINK_PLUGINS_DIR": str(wheel() / "plugins"),
        "FLINK_LOG_DIR": str(context.layout.logs),
    }
