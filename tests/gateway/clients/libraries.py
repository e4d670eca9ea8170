"""The environment of the client libraries: made once for a lock, shared by every clone and every run of this machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from services.stack.jars import cache_dir

LOCK = Path(__file__).parent / "requirements.lock"
LONGEST_INSTALL_S = 900


class LibrariesMissingError(Exception):
    """They cannot be installed here; the text says why."""


def python_with_libraries() -> Path:
    """The interpreter of the environment, which is made when it is not there. Raises LibrariesMissingError."""
    base = str(getattr(sys, "_base_executable", sys.executable))
    digest = hashlib.sha256(LOCK.read_bytes() + base.encode() + sys.version.encode()).hexdigest()[:16]
    folder = cache_dir() / "client-libraries" / digest
    python, done = folder / "bin" / "python", folder / ".done"
    if done.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{digest}.lock").open("w") as lock:
        # Two runs at once: the second waits for the first.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _install(base, folder, python)
            done.touch()
    return python


def _install(base: str, folder: Path, python: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        raise LibrariesMissingError(f"{uv} is not there; `make setup` puts it there")
    packages = sum("==" in line for line in LOCK.read_text().splitlines())
    print(f"client libraries: installing {packages} packages into {folder} (once, 300 MB)", file=sys.__stderr__, flush=True)
    environment = os.environ | {"UV_NO_PROGRESS": "1", "UV_HTTP_TIMEOUT": "60"}
    for command in (
        [str(uv), "venv", "--quiet", "--clear", "--python", base, str(folder)],
        [str(uv), "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(LOCK)],
    ):
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            raise LibrariesMissingError(f"not installed after {LONGEST_INSTALL_S} s") from None
        if done.returncode:
            raise LibrariesMissingError(done.stderr.strip()[-500:])
    print("client libraries: installed", file=sys.__stderr__, flush=True)
