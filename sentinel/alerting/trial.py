"""Configurations to try out: ours, or Alertmanager's as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from sentinel.alerting.importer import Imported, import_alertmanager, is_alertmanager
from sentinel.config.document import DocumentError, read_document
from sentinel.config.errors import ConfigError, Problem
from sentinel.config.load import load_config, parse_config, read_text
from sentinel.config.runtime import Receiver, ReceiverGroup, RuntimeConfig


@dataclass(frozen=True)
class Trial:
    """A configuration ready to be played, what was said about it, and how it was converted (None: it is ours)."""

    config: RuntimeConfig
    notes: list[str]
    imported: Imported | None = None


def load_trial(file: Path) -> Trial:
    """Read a file of either kind.

    Raises:
        ConfigError: with everything that is wrong in it.
    """
    try:
        document = read_document(read_text(file))
    except DocumentError as error:
        raise ConfigError([Problem(str(file), "", "", str(error))]) from None
    if not is_alertmanager(document):
        loaded = load_config(file)
        return Trial(RuntimeConfig.from_snapshot(1, loaded.config.to_snapshot()), loaded.warnings)
    imported = import_alertmanager(document, str(file))
    checked = parse_config(to_json(imported), str(file))
    runtime = RuntimeConfig.from_snapshot(1, checked.config.to_snapshot())
    # In a trial every integration speaks, also those that we have no counterpart for.
    receivers, groups = [], []
    for name, integrations in imported.receivers.all.items():
        members = [Receiver(f"{name}\x00{place}", kind, resolved) for place, (kind, resolved) in enumerate(integrations)]
        receivers += members
        groups.append(ReceiverGroup(name, tuple(member.name for member in members)))
    return Trial(replace(runtime, receivers=tuple(receivers), receiver_groups=tuple(groups)), imported.notes, imported)


def to_json(imported: Imported) -> str:
    """Our document as JSON text."""
    import msgspec

    return msgspec.json.encode(imported.document).decode()
