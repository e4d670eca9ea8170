"""Ports promised to stacks of this user that are still starting: two `up` of two homes at once must not choose the same ones."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from services.stack.jars import cache_dir
from services.stack.locks import file_lock
from services.stack.ports import WISHES, PortWish, choose_all
from services.stack.processes import ProcessRef
from services.stack.state import write_atomically


class Reservation(BaseModel):
    """Ports of one process; void when it has ended."""

    holder: ProcessRef
    ports: list[int]


_LIST = TypeAdapter(list[Reservation])


def meeting_place() -> Path:
    """A folder of this user alone that stacks see whatever their home, their cache and $HOME are; the cache where somebody else took its name."""
    folder = Path(tempfile.gettempdir()) / f"llm-sentinel-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    return cache_dir()


def reserve(wishes: tuple[PortWish, ...] = WISHES, folder: Path | None = None) -> dict[str, int]:
    """Chooses free ports that nobody else holds and reserves them for the calling process; raises StackError as `choose_all`."""
    place = folder or meeting_place()
    with file_lock(place / "ports.lock", "choosing ports", 30):
        others = _live(place)
        chosen = choose_all(wishes, {port for one in others for port in one.ports})
        _write(place, [*others, _own(chosen)])
    return chosen


def hold(ports: dict[str, int], folder: Path | None = None) -> None:
    """Takes over a reservation: the supervisor's, which lasts as long as it lives."""
    place = folder or meeting_place()
    with file_lock(place / "ports.lock", "choosing ports", 30):
        _write(place, [*_live(place), _own(ports)])


def _own(ports: dict[str, int]) -> Reservation:
    return Reservation(holder=ProcessRef.of(os.getpid()), ports=list(ports.values()))


def _live(place: Path) -> list[Reservation]:
    try:
        found = _LIST.validate_json((place / "ports.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return []
    return [one for one in found if one.holder.alive()]


def _write(place: Path, reservations: list[Reservation]) -> None:
    write_atomically(place / "ports.json", _LIST.dump_json(reservations).decode())
