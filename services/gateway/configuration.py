"""Which configuration the gateway starts with (a file, the one in force, or the last one that it saw), and which is in force later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from sentinel.config.load import load_config
from sentinel.config.model import SentinelConfig, from_snapshot
from sentinel.events.pairing_settings import PairingSettings
from sentinel.events.pairing_settings import settings_from as pairing_of
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


class ConfigInForce:
    """The configuration of the start, and with `live` each that is published from then on. Kafka need not be there."""

    def __init__(self, config: SentinelConfig, bootstrap: str, *, live: bool) -> None:
        self._own: tuple[int, dict[str, Any]] = (0, config.to_snapshot())
        self._pairing: tuple[int, PairingSettings] = (0, pairing_of(self._own[1]))
        self._watch = ConfigWatch(bootstrap, quiet=True) if live else None
        if self._watch is not None:
            self._watch.start()

    def current(self) -> tuple[int, dict[str, Any]]:
        """Version and snapshot; never blocks. Version 0 is that of the start, until the topic was read to its end: before that older ones pass."""
        if self._watch is not None and self._watch.wait(0.0):
            found = self._watch.current()
            if found[0]:
                return found
        return self._own

    def pairing(self) -> PairingSettings:
        """Whose requests and answers the ingestion job pairs."""
        version, snapshot = self.current()
        if version != self._pairing[0]:
            try:
                self._pairing = (version, pairing_of(snapshot))
            except (AttributeError, TypeError, ValueError) as error:
                # Something else than `sentinel config` wrote it: what was in force stays.
                log_event("config_refused", version=version, error=type(error).__name__)
                self._pairing = (version, self._pairing[1])
        return self._pairing[1]

    def close(self) -> None:
        """Ends the thread that follows."""
        if self._watch is not None:
            self._watch.close()
