"""Flink configuration, wanted jobs, checkpoints to start from, and root causes."""

import os
from pathlib import Path

import pyflink
import pytest

from services.stack import flink_conf, flink_jars
from services.stack.client import client_error
from services.stack.errors import StackError
from services.stack.flink import JobManager, TaskManager
from services.stack.flink_rest import innermost
from services.stack.java import java_home
from services.stack.opensearch import OpenSearch
from services.stack.paths import Layout
from services.stack.ports import WISHES
from services.stack.service import Context
from services.stack.submit import job_name, module_of
from services.stack.wanted import (
    WantedJob,
    drop_old_checkpoints,
    newest_checkpoint,
    unwant_job,
    want_job,
    want_service,
    wanted_jobs,
    wanted_services,
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    layout = Layout(tmp_path)
    layout.create()
    return Context(layout, {wish.service: wish.default for wish in WISHES}, java_home())


def test_shipped_java_options_are_kept() -> None:
    shipped = flink_conf.load(Path(pyflink.__file__).parent / "conf" / "config.yaml")["env.java.opts.all"]
    ours = flink_conf.load(flink_conf.conf_dir() / "config.yaml")["env.java.opts.all"]
    assert set(shipped.split()) <= set(ours.split()), "without them every submission fails with InaccessibleObjectException"


def test_job_configuration_is_base_overlay_and_machine(context: Context) -> None:
    config = flink_conf.job_config(context, "standalone", "standalone")
    assert config["execution.checkpointing.dir"] == (context.layout.data / "checkpoints" / "standalone").as_uri()
    assert config["pipeline.max-parallelism"] == 720
    assert config["execution.checkpointing.externalized-checkpoint-retention"] == "RETAIN_ON_CANCELLATION"
    split = flink_conf.job_config(context, "detection", "detection")
    assert (config["execution.checkpointing.interval"], split["execution.checkpointing.interval"]) == ("10 s", "1 s")
    assert flink_conf.job_config(context, "unheard_of", "x")["execution.checkpointing.interval"] == "5 s"


def test_every_topology_has_a_configuration() -> None:
    topologies = {path.stem for path in (flink_conf.conf_dir().parent / "jobs").glob("*.py")} - {"__init__"}
    assert topologies <= {path.stem for path in flink_conf.conf_dir().glob("*.yaml")}


def test_nested_and_dotted_keys_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: {b: {c: 1}}\nd.e: x\n")
    assert flink_conf.load(file) == {"a.b.c": 1, "d.e": "x"}


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [\n"], ids=["list", "not YAML"])
def test_broken_configuration_names_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(StackError) as error:
        flink_conf.load(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_memory_becomes_jvm_flags(context: Context) -> None:
    command = JobManager(context).command()
    assert "-Xmx320m" in command
    task_manager = TaskManager(context)
    task_manager.prepare()
    assert "-Xmx1088m" in task_manager.command() and "-XX:MaxDirectMemorySize=352m" in task_manager.command()
    with pytest.raises(StackError, match="expected a size such as 640m"):
        flink_conf.megabytes({"a": "lots"}, "a")


def test_each_start_of_a_task_manager_has_an_id_of_its_own(context: Context) -> None:
    service = TaskManager(context)
    ids = []
    for _ in range(2):
        service.prepare()
        ids.append(flink_conf.load(context.layout.flink_conf / "taskmanager" / "config.yaml")["taskmanager.resource-id"])
    assert ids[0] != ids[1]


def test_class_path_has_the_python_jar_and_follows_changes(context: Context) -> None:
    connectors = context.layout.cache / "flink"
    connectors.mkdir()
    (connectors / "old.jar").write_bytes(b"")
    folder = flink_jars.link_lib(context)
    (connectors / "old.jar").rename(connectors / "new.jar")
    names = {path.name for path in flink_jars.link_lib(context).iterdir()}
    assert "new.jar" in names and "old.jar" not in names
    assert any(name.startswith("flink-python-") for name in names) and all(path.exists() for path in folder.iterdir())


def test_every_stack_has_a_search_cluster_of_its_own(context: Context, tmp_path: Path) -> None:
    def cluster(home: Path) -> str:
        command = OpenSearch(Context(Layout(home), context.ports, context.java_home)).command()
        return command[command.index("-clusterName") + 1]

    assert cluster(tmp_path / "a") == cluster(tmp_path / "a") != cluster(tmp_path / "b"), (
        "nodes on one machine find each other by this name"
    )


def test_wanted_jobs_and_services(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert wanted_jobs(layout) == {} and wanted_services(layout) == []
    want_job(layout, WantedJob(name="standalone", module="jobs.standalone", args=["--x"], job_id="1"))
    want_job(layout, WantedJob(name="standalone", module="jobs.standalone", job_id="2"))
    want_job(layout, WantedJob(name="indexing", module="jobs.indexing"))
    unwant_job(layout, "indexing")
    unwant_job(layout, "indexing")
    assert wanted_jobs(layout) == {"standalone": WantedJob(name="standalone", module="jobs.standalone", job_id="2")}
    want_service(layout, "dispatcher", wanted=True)
    want_service(layout, "dispatcher", wanted=True)
    assert wanted_services(layout) == ["dispatcher"]
    want_service(layout, "dispatcher", wanted=False)
    assert wanted_services(layout) == []


def test_newest_complete_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for age, name, complete in ((30, "a/chk-7", True), (10, "b/chk-2", True), (5, "b/chk-3", False)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        if complete:
            (folder / "_metadata").write_bytes(b"x")
            os.utime(folder / "_metadata", (1_000_000 - age, 1_000_000 - age))
    assert newest_checkpoint(tmp_path) == tmp_path / "b" / "chk-2", "the id of the job does not matter, an unfinished one does not count"


def test_checkpoints_of_earlier_submissions_go_but_for_the_last(tmp_path: Path) -> None:
    drop_old_checkpoints(tmp_path)
    for age, name in ((30, "a/chk-7"), (20, "b/chk-2"), (10, "b/chk-3")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "_metadata").write_bytes(b"x")
        os.utime(folder / "_metadata", (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "started-only" / "shared").mkdir(parents=True)
    drop_old_checkpoints(tmp_path, wanted=tmp_path / "a" / "chk-7")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"], "somebody goes back to the first"
    drop_old_checkpoints(tmp_path, wanted=Path("elsewhere/savepoint-1"))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/chk-*")) == ["b/chk-2", "b/chk-3"]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_names() -> None:
    assert (module_of("standalone"), job_name("standalone")) == ("jobs.standalone", "standalone")
    assert (module_of("own.probe"), job_name("own.probe")) == ("own.probe", "probe")


JAVA_TRACE = """org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy
\tat org.apache.flink.A.b(A.java:1)
Caused by: java.lang.RuntimeException: Writing records to JDBC failed.
Caused by: org.postgresql.util.PSQLException: ERROR: relation "x" does not exist
\tat org.postgresql.C.d(C.java:2)
"""
PYTHON_TRACE = """java.lang.RuntimeException: Error received from SDK harness for instruction 1: Traceback (most recent call last):
  File "worker.py", line 1, in f
KeyError: 'model'
\tat org.apache.beam.X.y(X.java:3)
Caused by: java.util.concurrent.ExecutionException: wrapped
"""
CLIENT_OUTPUT = """Traceback (most recent call last):
  File "run_topology.py", line 9, in <module>
ModuleNotFoundError: No module named 'jobs.nope'
org.apache.flink.client.program.ProgramAbortException: java.lang.RuntimeException: Python process exits with code: 1
Caused by: java.lang.RuntimeException: Python process exits with code: 1
"""


def test_root_causes() -> None:
    assert innermost(JAVA_TRACE) == 'org.postgresql.util.PSQLException: ERROR: relation "x" does not exist'
    assert innermost(PYTHON_TRACE) == "KeyError: 'model'"
    assert innermost("") == "no reason given"
    assert client_error(CLIENT_OUTPUT) == "ModuleNotFoundError: No module named 'jobs.nope'"
    assert client_error("Caused by: java.net.ConnectException: Connection refused\n") == "java.net.ConnectException: Connection refused"
