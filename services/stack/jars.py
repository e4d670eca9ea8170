"""Jars of the embedded stack: a locked list, fetched once into a cache that every clone shares, linked into class-path folders.

The cache is `$SENTINEL_CACHE` or `~/.cache/llm-sentinel/jars`, laid out like a Maven repository. The resolver's own checks are too weak (a
cut download stays as a valid file, a wrong checksum is a log line), so every file is checked against the SHA-256 of `jars.lock` here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack.errors import StackError

LOCK_FILE = Path(__file__).with_name("jars.lock")
ATTEMPTS = 3
THREADS = 8

Progress = Callable[[int, int, int], None]
"""Called with (jars done, jars in all, bytes fetched so far)."""


@dataclass(frozen=True, order=True)
class Jar:
    """One locked artifact. `sha256` is lower-case hex, empty only while the lock is being made."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def parse(cls, coordinate: str, sha256: str) -> Jar:
        """Reads `group:artifact:version`; raises ValueError for any other shape."""
        group, artifact, version = coordinate.split(":")
        return cls(group, artifact, version, sha256)

    @property
    def name(self) -> str:
        """File name of the jar."""
        return f"{self.artifact}-{self.version}.jar"

    def path(self, cache: Path) -> Path:
        """Place of the jar in a cache folder."""
        return cache.joinpath(*self.group.split("."), self.artifact, self.version, self.name)


def cache_dir() -> Path:
    """Download cache shared between clones."""
    override = os.environ.get("SENTINEL_CACHE")
    return Path(override).expanduser() if override else Path.home() / ".cache" / "llm-sentinel" / "jars"


def read_lock(path: Path = LOCK_FILE) -> dict[str, list[Jar]]:
    """Returns class-path name → jars. Raises StackError naming the line that is not `group:artifact:version sha256`."""
    sets: dict[str, list[Jar]] = {}
    section: list[Jar] | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("[") and text.endswith("]"):
            section = sets.setdefault(text[1:-1], [])
            continue
        words = text.split()
        if section is None or len(words) != 2 or words[0].count(":") != 2 or len(words[1]) != 64:
            expected = "'group:artifact:version sha256' below a [class path] header"
            raise StackError(f"{path.name} line {number} is '{text}', expected {expected}.")
        section.append(Jar.parse(words[0], words[1]))
    return sets


def maven_context(cache: Path) -> Any:
    """A resolver whose only store is `cache`: nothing of the user's own Maven repository is read or written."""
    import truststore
    from jgo.maven import MavenContext

    # As pip and uv do: a company's own CA, which the system knows, is in no bundle that a package brings along.
    truststore.inject_into_ssl()
    # Its log lines (a failed checksum look-up, a retry) repeat what is raised here.
    logging.getLogger("jgo").setLevel(logging.ERROR)
    return MavenContext(repo_cache=cache, local_repos=[], timeout=20)


def file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(cache: Path, jar: Jar) -> Path:
    """Resolves one artifact into `cache` and returns its path; network errors pass through."""
    artifact = maven_context(cache).project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())


def fetch(cache: Path, jar: Jar, get: Callable[[Path, Jar], Path] = download) -> Path:
    """Returns the verified path of `jar`, downloading it when the cache has it not, or has it wrong.

    Works in a scratch folder and moves the verified file into place, so that an interrupted download never looks like a jar, and two
    `up` of two clones do not disturb each other. Raises StackError after three attempts.
    """
    target = jar.path(cache)
    if target.exists() and file_sha256(target) == jar.sha256:
        return target
    target.unlink(missing_ok=True)
    reason = ""
    for _ in range(ATTEMPTS):
        scratch = cache / ".partial" / f"{os.getpid()}-{threading.get_ident()}"
        try:
            found = get(scratch, jar)
            actual = file_sha256(found)
            if actual == jar.sha256:
                target.parent.mkdir(parents=True, exist_ok=True)
                found.replace(target)
                return target
            reason = f"its SHA-256 is {actual[:12]}… where jars.lock expects {jar.sha256[:12]}…"
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise StackError(f"Could not download {jar.name} ({jar.group}:{jar.artifact}:{jar.version}) in {ATTEMPTS} attempts: {reason}.")


def fetch_all(jars: list[Jar], cache: Path, progress: Progress | None = None) -> None:
    """Fetches every jar, one thread an artifact. `progress` sees only jars that had to be fetched or verified anew."""
    marker = cache / ".verified"
    known = set(marker.read_text().split()) if marker.exists() else set()
    todo = [jar for jar in sorted(set(jars)) if not (jar.sha256 in known and jar.path(cache).exists())]
    if not todo:
        return
    cache.mkdir(parents=True, exist_ok=True)
    fetched = 0
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(fetch, cache, jar) for jar in todo]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                fetched += future.result().stat().st_size
                if progress:
                    progress(done, len(todo), fetched)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(cache / ".partial", ignore_errors=True)
    with marker.open("a") as file:
        file.writelines(f"{jar.sha256}\n" for jar in todo)


def link_class_path(jars: list[Jar], cache: Path, folder: Path) -> None:
    """Fills `folder` with hard links (copies across file systems) to exactly these jars."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {jar.name: jar.path(cache) for jar in jars}
    for stale in folder.iterdir():
        if stale.name not in wanted:
            stale.unlink()
    for name, source in wanted.items():
        target = folder / name
        if target.exists() and target.stat().st_size == source.stat().st_size:
            continue
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
