"""What cannot work ends in one clear sentence, and leaves nothing behind."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.main import TABLE, run
from services.stack.errors import StackError
from services.stack.jars import Jar, fetch, fetch_all, link_class_path, read_lock
from services.stack.java import java_home
from services.stack.launch import take_down
from services.stack.paths import Layout
from services.stack.ports import HOST, PortWish, choose
from services.stack.processes import ProcessRef
from services.stack.reservations import meeting_place, reserve
from services.stack.state import ServiceState, State, load_endpoints, running_state, write_atomically
from services.stack.topics import ensure_topics, load_topics

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


def one_sentence(error: pytest.ExceptionInfo[StackError]) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith("."), text
    return text


def java_in(folder: Path, release: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    (folder / "release").write_text(release)
    return folder


@pytest.mark.parametrize("version, shown", [("1.8.0_292", "Java 8"), ("11.0.2", "Java 11"), ("26", "Java 26")])
def test_wrong_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, shown: str) -> None:
    monkeypatch.setenv("SENTINEL_JAVA_HOME", str(java_in(tmp_path / "java", f'JAVA_VERSION="{version}"\n')))
    with pytest.raises(StackError) as error:
        java_home()
    assert shown in one_sentence(error) and "expected Java 17 or 21" in str(error.value)


def test_java_home_without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTINEL_JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError) as error:
        java_home()
    assert f"SENTINEL_JAVA_HOME={tmp_path}" in one_sentence(error)


def test_bundled_java_is_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENTINEL_JAVA_HOME", raising=False)
    assert (java_home() / "bin" / "java").exists()


def test_ports_move_up_and_a_full_range_is_told() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen(1)
        port = server.getsockname()[1]
        assert choose(PortWish("kafka", port, port + 50), set()) > port
        with pytest.raises(StackError) as error:
            choose(PortWish("kafka", port, port), set())
        assert f"all of {port}-{port} are taken" in one_sentence(error) and "kafka" in str(error.value)


def test_a_port_is_given_once() -> None:
    wish = PortWish("kafka", 42_000, 42_999)
    first = choose(wish, set())
    assert choose(wish, {first}) != first


def test_two_stacks_that_start_at_once_get_different_ports(tmp_path: Path) -> None:
    wishes = (PortWish("kafka", 43_000, 43_010),)
    first = reserve(wishes, tmp_path)
    second = reserve(wishes, tmp_path)
    assert first != second, "the first one's server does not listen yet"
    entries = json.loads((tmp_path / "ports.json").read_text())
    for entry in entries:
        entry["holder"]["started"] -= 100
    (tmp_path / "ports.json").write_text(json.dumps(entries))
    assert reserve(wishes, tmp_path) == first, "the reservation of a dead process is void"


def test_stacks_of_different_caches_know_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    wishes, chosen = (PortWish("kafka", 43_000, 43_010),), []
    for cache in ("one", "other"):
        monkeypatch.setenv("SENTINEL_CACHE", str(tmp_path / cache))
        chosen.append(reserve(wishes))
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize("taken_by", ["link", "open to others"])
def test_a_meeting_place_that_others_could_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_by: str) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SENTINEL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / f"llm-sentinel-{os.getuid()}"
    if taken_by == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert meeting_place() == tmp_path / "cache"


def test_a_stranger_on_our_port_is_not_us() -> None:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen(1)
        port = server.getsockname()[1]
        assert ProcessRef.of(os.getpid()).listens_on(port)
        assert not ProcessRef.of(os.getppid()).listens_on(port)


def answering(*contents: bytes):
    """A fake download that writes one content after the other."""
    queue = list(contents)

    def get(cache: Path, jar: Jar) -> Path:
        path = jar.path(cache)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(queue.pop(0))
        return path

    return get


def test_wrong_checksum_is_retried_then_told(tmp_path: Path) -> None:
    assert fetch(tmp_path, JAR, answering(b"other", CONTENT[:2], CONTENT)).read_bytes() == CONTENT
    JAR.path(tmp_path).unlink()
    with pytest.raises(StackError) as error:
        fetch(tmp_path, JAR, answering(b"x", b"y", b"z"))
    text = one_sentence(error)
    assert "thing-1.0.jar" in text and "SHA-256" in text and JAR.sha256[:12] in text
    assert not list(tmp_path.rglob("*.jar")), "no jar with a wrong content stays in the cache"


def test_cut_file_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    target = JAR.path(tmp_path)
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:3])
    assert fetch(tmp_path, JAR, answering(CONTENT)).read_bytes() == CONTENT


def test_no_network(tmp_path: Path) -> None:
    def get(cache: Path, jar: Jar) -> Path:
        raise ConnectionError("name resolution failed\nlong trace")

    with pytest.raises(StackError) as error:
        fetch(tmp_path, JAR, get)
    assert "name resolution failed" in one_sentence(error)


def test_cached_jars_need_no_network_and_are_linked(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "class-path"
    fetch(cache, JAR, answering(CONTENT))
    seen: list[tuple[int, int, int]] = []
    fetch_all([JAR, JAR], cache, lambda *figures: seen.append(figures))
    fetch_all([JAR], cache, lambda *figures: seen.append(figures))
    assert seen == [(1, 1, len(CONTENT))], "verified once, then remembered"
    folder.mkdir()
    (folder / "old-0.9.jar").write_bytes(b"")
    link_class_path([JAR], cache, folder)
    assert [path.name for path in folder.iterdir()] == ["thing-1.0.jar"]
    assert (folder / "thing-1.0.jar").stat().st_ino == JAR.path(cache).stat().st_ino


def test_lock_names_the_bad_line(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("# comment\n[kafka]\norg.example:thing 123\n")
    with pytest.raises(StackError) as error:
        read_lock(lock)
    assert "jars.lock line 3 is 'org.example:thing 123'" in one_sentence(error)


def test_shipped_lock_has_every_class_path() -> None:
    sets = read_lock()
    assert set(sets) == {"kafka", "opensearch", "flink"}
    for jars in sets.values():
        assert len({jar.artifact for jar in jars}) == len(jars), "one version of an artifact on a class path"


def state_of(supervisor: ProcessRef, **services: ServiceState) -> State:
    return State(supervisor=supervisor, started=0, ports={"flink": 1}, services=services)


def test_no_stack(tmp_path: Path) -> None:
    with pytest.raises(StackError) as error:
        load_endpoints(tmp_path)
    assert "sentinel up" in one_sentence(error)


def test_a_pid_of_somebody_else_is_not_our_supervisor(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    ours = ProcessRef.of(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE).pid)
    write_atomically(layout.state_file, state_of(ours).model_dump_json())
    assert running_state(layout) is not None
    stale = ours.model_copy(update={"started": ours.started - 100})
    write_atomically(layout.state_file, state_of(stale).model_dump_json())
    assert running_state(layout) is None
    process = ours.process()
    assert process is not None
    process.kill()
    process.wait()


def test_children_of_a_killed_supervisor_are_ended(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    recorded = subprocess.Popen(command, start_new_session=True)
    tagged = subprocess.Popen(command, env={"SENTINEL_SUPERVISED": str(tmp_path)}, start_new_session=True)
    bystander = subprocess.Popen(command, env={"SENTINEL_SUPERVISED": f"{tmp_path}-other"})
    dead = ProcessRef(pid=recorded.pid, started=1.0)
    state = state_of(dead, kafka=ServiceState(status="healthy", process=ProcessRef.of(recorded.pid)))
    write_atomically(layout.state_file, state.model_dump_json())
    (layout.tmp / "left").write_text("x")
    told: list[str] = []
    try:
        assert take_down(layout, told.append)
        assert recorded.wait(5) is not None and tagged.wait(5) is not None
        assert bystander.poll() is None
        assert "ending 2 processes" in told[0]
        assert not layout.tmp.exists() and not layout.state_file.exists()
        assert not take_down(layout, told.append), "nothing is left to stop"
    finally:
        for child in (recorded, tagged, bystander):
            child.kill()
            child.wait()


def test_topics_file(tmp_path: Path) -> None:
    description = load_topics()
    assert description.spec("notify-ops").partitions == 1
    assert description.spec("llm-telemetry-dlq").config["max.message.bytes"] == 2 * int(
        description.spec("llm-telemetry").config["max.message.bytes"]
    )
    with pytest.raises(StackError) as error:
        ensure_topics("127.0.0.1:1", ["unheard-of"])
    assert "'unheard-of'" in one_sentence(error)
    wrong = tmp_path / "topics.yaml"
    wrong.write_text("topics:\n  a: {partitions: many}\n")
    with pytest.raises(StackError, match=r"topics\.yaml: topics\.a\.partitions"):
        load_topics(wrong)


@pytest.mark.parametrize(
    "arguments, code, stream, text",
    [
        (["--version"], 0, "out", "sentinel "),
        (["status"], 1, "out", "no stack is running"),
        (["status", "-o", "json"], 1, "out", '"running": false'),
        (["down"], 0, "err", "no stack was running"),
        (["logs", "kafka"], 1, "err", "There is no log 'kafka'"),
        (["reset"], 1, "err", "--yes"),
        (["jobs", "list"], 1, "err", "start one with 'sentinel up'"),
        (["jobs", "submit", "standalone"], 1, "err", "start one with 'sentinel up'"),
        (["jobs", "submit", "standalone", "fast"], 1, "err", "Topology standalone takes no arguments, found: fast"),
        (["status", "-o", "xml"], 2, "err", "xml"),
        (["stauts"], 2, "err", "stauts"),
        (["up", "--nope"], 2, "err", "--nope"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_and_streams(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    stream: str,
    text: str,
) -> None:
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert run(arguments) == code
    shown = getattr(capsys.readouterr(), stream)
    assert text in shown
    assert "Traceback" not in shown


def test_status_json_without_a_stack_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    run(["status", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["services"] == []


def test_help_imports_no_command() -> None:
    loaded = "[m for m in sys.modules if m.endswith('_cmd') or m == 'pyflink']"
    code = f"import sys; from services.cli.main import run; run(['--help']); print({loaded})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert all(name in shown for name, _, _ in TABLE)
