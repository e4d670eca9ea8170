"""Which configuration the gateway starts with: a file, the one in force, or the last one that it saw."""

from __future__ import annotations

from pathlib import Path

import orjson

from sentinel.config.load import load_config
from sentinel.config.model import SentinelConfig, from_snapshot
from services.dispatcher.config_watch import ConfigWatch
from services.dispatcher.events import log_event
from services.stack.state import write_atomically

WAIT_S = 5.0
_COPY = "gateway-config.json"


def config_of(file: Path | None, bootstrap: str, data: Path) -> SentinelConfig:
    """The configuration. Raises ConfigError for a file that is not valid.

    Kafka may be away when a gateway starts, and that must not keep it from taking events: then the copy of the last configuration counts, which holds
    references to secrets and no secret.
    """
    if file is not None:
        return load_config(file).config
    copy = data / _COPY
    watch = ConfigWatch(bootstrap, quiet=True)
    watch.start()
    try:
        watch.wait(WAIT_S)
        version, config = watch.current()
    finally:
        watch.close()
    if version:
        data.mkdir(parents=True, exist_ok=True)
        write_atomically(copy, orjson.dumps({"version": version, "config": config}).decode())
    elif copy.exists():
        kept = orjson.loads(copy.read_bytes())
        version, config = int(kept["version"]), dict(kept["config"])
    log_event("config", version=version)
    return from_snapshot(config)
