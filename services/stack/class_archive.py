"""Archive of loaded Java classes (JVM class data sharing), which spares the Flink JVMs half of their start.

The first submission writes down which classes it loads, JobManager and TaskManager name theirs; the supervisor then makes the archive in the
background. It is in the user's cache, so that all stacks share it, and it belongs to one Java and one class path. Without it, or when it is damaged,
the JVMs load the classes from their jars.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stack.flink_jars import class_path
from services.stack.jars import cache_dir, file_sha256
from services.stack.service import SHORT_LIVED, Context

log = logging.getLogger(__name__)

KEEP_UNUSED_S = 30 * 86_400.0
LOOK_EVERY_S = 10.0
JOB_STARTED_AFTER_S = 60.0
"""So long after its submission a job has loaded in the JobManager and the TaskManager what it needs there."""
_RECORDED_FROM = "client, jobmanager, taskmanager"


@dataclass(frozen=True)
class ClassArchive:
    """The archive of one Java and one class path, whether it exists yet or not."""

    java: Path
    jars: Sequence[Path]
    folder: Path

    @classmethod
    def of(cls, context: Context) -> ClassArchive:
        """The archive of the Flink JVMs."""
        return cls(Path(context.java), class_path(context), cache_dir() / "class-archives")

    @property
    def file(self) -> Path | None:
        """The archive itself, some 190 MB; None when there is none, or a damaged one, which is removed."""
        for found in self.folder.glob(f"{self._key}.*.jsa"):
            if file_sha256(found) == found.name.split(".")[1]:
                return found
            found.unlink(missing_ok=True)
        return None

    @property
    def classes(self) -> Path:
        """List of the classes that go into it."""
        return self.folder / f"{self._key}.classes"

    @property
    def _key(self) -> str:
        """What the JVM compares as well: itself, and identity, size and time of every jar."""
        home = self.java.resolve().parent.parent
        files = [self.java, home / "release", *self.jars]
        known = [
            (path.name, one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for path in files if path.exists() and (one := path.stat())
        ]
        return hashlib.sha256(repr((_RECORDED_FROM, known)).encode()).hexdigest()[:16]

    def flags(self) -> list[str]:
        """Flags of a JVM that uses the archive; none while there is none, or a damaged one."""
        file = self.file
        if file is None:
            return []
        os.utime(file)
        return ["-Xshare:auto", f"-XX:SharedArchiveFile={file}"]

    def wants_recording(self) -> bool:
        """Whether nobody has written down yet which classes belong into the archive."""
        return not self.classes.exists() and self.file is None

    def recording_flags(self, scratch: Path) -> list[str]:
        """Flags of a JVM that writes the classes it loads into `scratch`, which is complete when the JVM has ended by itself or by SIGTERM."""
        return ["-Xshare:off", f"-XX:DumpLoadedClassList={scratch}"]

    def watching_flags(self, log_file: Path) -> list[str]:
        """Flags of a JVM that goes on running, so that `recording_flags` would never be done: it names its classes in `log_file`."""
        return [f"-Xlog:class+load=info:file={log_file}:none:filecount=0"] if self.wants_recording() else []

    def recorded(self, scratch: Path, logs: Iterable[Path] = ()) -> None:
        """Take a finished list over, with what JVMs with `watching_flags` have named so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.classes.with_name(f"{self.classes.name}.{os.getpid()}")
        text = scratch.read_text()
        known = {line.split(" ", 1)[0] for line in text.splitlines()}
        more = {name for log_file in logs if log_file.exists() for name in _named(log_file)} - known
        beside.write_text("\n".join([text.rstrip(), *sorted(more), ""]))
        beside.replace(self.classes)

    def make_command(self, scratch: Path) -> list[str]:
        """Command line that writes the archive to `scratch`; some ten seconds of processor time, at the lowest priority."""
        path = os.pathsep.join(map(str, self.jars))
        flags = ["-Xshare:dump", f"-XX:SharedClassListFile={self.classes}", f"-XX:SharedArchiveFile={scratch}"]
        return ["nice", "-n", "19", str(self.java), "-Xmx512m", *SHORT_LIVED, *flags, "-cp", path]

    def install(self, scratch: Path) -> None:
        """Take a finished archive over. Its name holds its checksum: the JVM looks at no more than the header, and a cut file ends it."""
        scratch.replace(self.folder / f"{self._key}.{file_sha256(scratch)}.jsa")


def watched_log(context: Context, service: str) -> Path:
    """Where a service with `watching_flags` names its classes."""
    return context.layout.logs / f"classes-{service}.log"


def _named(log_file: Path) -> Iterator[str]:
    """The classes in a log of the JVM, as its lists have them; not those that it makes up while it runs."""
    for line in log_file.read_text(errors="replace").splitlines():
        name, _, source = line.partition(" source: ")
        if source.startswith(("jrt:", "file:")) and "/" not in name:
            yield name.replace(".", "/")


class ArchiveMaker:
    """Makes the archive once its list of classes is there; called from the supervisor's loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = Path()
        self._next_look = 0.0
        self._done = False

    def look(self) -> None:
        """Start what is to be done, take over what is done. Quick."""
        if self._done or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY_S
        archive = ClassArchive.of(self._context)
        if self._process is None:
            self._done = archive.file is not None
            if not self._done and archive.classes.exists() and time.time() - archive.classes.stat().st_mtime > JOB_STARTED_AFTER_S:
                self._start(archive)
        elif self._process.poll() is not None:
            self._finish(archive, self._process.returncode)
            self._process = None

    def stop(self) -> None:
        """Gives up an archive under way; the next `up` begins again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._scratch.unlink(missing_ok=True)

    def _start(self, archive: ClassArchive) -> None:
        log.info("making an archive of Java classes in %s", archive.folder)
        logs = [watched_log(self._context, name) for name in ("jobmanager", "taskmanager")]
        archive.recorded(archive.classes, logs)
        for log_file in logs:
            log_file.unlink(missing_ok=True)
        # Another stack may make one at the same time: each writes a file of its own, and either serves both.
        self._scratch = archive.folder / f"making.{os.getpid()}"
        with (self._context.layout.logs / "class-archive.log").open("wb") as output:
            self._process = subprocess.Popen(
                archive.make_command(self._scratch),
                env=self._context.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _finish(self, archive: ClassArchive, code: int) -> None:
        if code == 0 and self._scratch.exists():
            archive.install(self._scratch)
        else:
            self._done = True
            self._scratch.unlink(missing_ok=True)
            log.warning(
                "the archive of Java classes could not be made (code %d, see class-archive.log): starts take longer without it", code
            )
        for old in archive.folder.iterdir():
            if time.time() - old.stat().st_mtime > KEEP_UNUSED_S:
                old.unlink(missing_ok=True)
