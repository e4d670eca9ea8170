"""Flink's client: a JVM that plans and submits, and beside it the Python process that describes the topology to it.

Flink's own command starts the Python process when its JVM is up, and waits. Here both start at once.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from services.stack import flink_conf, flink_jars
from services.stack.class_archive import ClassArchive
from services.stack.errors import StackError
from services.stack.flink_rest import innermost
from services.stack.python_forks import python_of
from services.stack.service import SHORT_LIVED, Context, java_flags, log4j_flags
from services.stack.wanted import backend_of

TIME_LIMIT_S = 240.0
LIST_TIME_LIMIT_S = 30.0


def run_client(
    context: Context,
    name: str,
    module: str,
    args: Sequence[str],
    start: Path | None,
    drop_unclaimed: bool = False,
    parallelism: int | None = None,
) -> str:
    """Runs topology `module`; returns the job's id once the JobManager has accepted it. Raises StackError with the root cause."""
    layout = context.layout
    folder = layout.run / "client" / name
    shutil.rmtree(folder, ignore_errors=True)
    config = flink_conf.job_config(context, module.rsplit(".", 1)[-1], name, parallelism)
    flink_conf.write(config, folder)
    flink_jars.link_lib(context)
    archive = ClassArchive.of(context)
    recording = module.startswith("jobs.") and archive.wants_recording()
    connection, classes = folder / "gateway", folder / "classes"
    environment = flink_conf.flink_environment(context, folder) | {
        "_PYFLINK_CONN_INFO_PATH": str(connection),
        "FLINK_OPT_DIR": str(flink_jars.empty_python_jar(folder / "opt")),
    }
    restore: list[str] = []
    if start is not None:
        restore = ["-s", start.resolve().as_uri(), *(["-n"] if drop_unclaimed else [])]
        if backend := backend_of(start):
            environment["SENTINEL_RESTORED_BACKEND"] = backend
    java = [
        context.java,
        "-Xmx512m",
        *SHORT_LIVED,
        *java_flags(context),
        f"-Djava.io.tmpdir={folder}",
        *str(config["env.java.opts.all"]).split(),
    ]
    java += archive.recording_flags(classes) if recording else archive.flags()
    java += [
        *log4j_flags(layout.logs / "client.log"),
        "-cp",
        flink_jars.joined_class_path(context),
        "org.apache.flink.client.cli.CliFrontend",
    ]
    java += ["run", "-d", *restore, "-c", "org.apache.flink.client.python.PythonGatewayServer"]
    # A script has its folder on the Python path, so it has one of its own: kafka.py beside this file would hide the package.
    script = Path(__file__).parent / "topology_client" / "run_topology.py"
    python = [python_of(layout), str(script), str(connection), module, *args]
    log_file = layout.logs / f"submit-{name}.log"
    recorded = False
    with log_file.open("w") as output:
        planner, topology = (_start(command, environment, layout.home, output) for command in (java, python))
        try:
            code = _await(topology, planner)
            if recording and code == 0:
                planner.terminate()
                # The job is accepted: a list that is not done in time must not make a failure of it.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    recorded = planner.wait(LIST_TIME_LIMIT_S) is not None
        finally:
            # The job is the cluster's by now, or it failed: nothing is left to do.
            for process in (topology, planner):
                process.kill()
                process.wait()
    text = log_file.read_text(errors="replace")
    ids = re.findall(r"Job has been submitted with JobID ([0-9a-f]{32})", text)
    if code is None:
        raise StackError(f"The client of job {name} was not done after {TIME_LIMIT_S:.0f} s (log: {log_file}).")
    if code != 0:
        raise StackError(f"Job {name} could not be submitted: {client_error(text)} (log: {log_file}).")
    if not ids:
        raise StackError(f"The client of job {name} ended without submitting a job; {module} must execute exactly one (log: {log_file}).")
    if recorded and classes.exists():
        archive.recorded(classes)
    shutil.rmtree(folder, ignore_errors=True)
    return str(ids[-1])


def _start(command: list[str], environment: dict[str, str], folder: Path, output: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _await(topology: subprocess.Popen[bytes], planner: subprocess.Popen[bytes]) -> int | None:
    """Exit code of the topology's process, or of a JVM that ended before it; None at the time limit."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while time.monotonic() < deadline:
        try:
            return topology.wait(0.1)
        except subprocess.TimeoutExpired:
            if planner.poll() is not None:
                return _last_word(topology, planner.returncode or 1)
    return None


def _last_word(topology: subprocess.Popen[bytes], code: int) -> int:
    """Gives a process whose JVM has ended the time to tell the reason; its exit code, else `code`, which is the JVM's."""
    try:
        return topology.wait(5)
    except subprocess.TimeoutExpired:
        return code


def client_error(output: str) -> str:
    """The root cause in the output of a failed client: the innermost Java or Python error, with this command's options instead of Flink's."""
    cause, not_mapped, _ = _root_cause(output).partition(" If you want to allow to skip this, you can set the --allowNonRestoredState")
    return f"{cause} --drop-unclaimed leaves such state behind, --fresh all of it" if not_mapped else cause


def _root_cause(output: str) -> str:
    java = re.findall(r"^Caused by: (.+)$", output, re.MULTILINE)
    python = re.findall(r"^(?:[\w.]+(?:Error|Exception|Exit)|SystemExit): .+$", output, re.MULTILINE)
    python = [line for line in python if not line.startswith(("org.", "java."))]
    if python and not python[-1].startswith("py4j."):
        return str(python[-1])
    if java:
        inner = [line for line in java if "ProgramAbortException" not in line and "Python process exits" not in line]
        return str((inner or java)[-1])
    return innermost(output)
