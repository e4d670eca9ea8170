"""The archive of Java classes: made once, used from then on, and never in the way when it is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from services.stack import flink_jars
from services.stack.class_archive import ClassArchive
from services.stack.java import java_home
from services.stack.paths import Layout
from services.stack.ports import WISHES
from services.stack.service import SHORT_LIVED, Context

MAIN = "org/apache/flink/client/cli/CliFrontend"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    layout = Layout(tmp_path_factory.mktemp("home"))
    layout.create()
    found = Context(layout, {wish.service: wish.default for wish in WISHES}, java_home())
    flink_jars.link_lib(found)
    return found


@pytest.fixture(scope="module")
def made(context: Context, tmp_path_factory: pytest.TempPathFactory) -> ClassArchive:
    """An archive of a handful of classes, made by the command that the supervisor runs."""
    archive = ClassArchive(Path(context.java), flink_jars.class_path(context), tmp_path_factory.mktemp("archives"))
    assert archive.wants_recording() and not archive.flags()
    listed = archive.folder / "listed"
    listed.write_text(f"java/lang/Object\n{MAIN}\n")
    archive.recorded(listed)
    scratch = archive.folder / "making"
    subprocess.run(archive.make_command(scratch), check=True, capture_output=True, timeout=120)
    archive.install(scratch)
    return archive


def loaded_from(context: Context, archive: ClassArchive) -> str:
    """Where a JVM with the archive's flags has Flink's client from, as its log says; the client must have answered."""
    command = [context.java, *SHORT_LIVED, *archive.flags(), "-Xlog:class+load", "-cp", flink_jars.joined_class_path(context)]
    environment = context.environment() | {"FLINK_CONF_DIR": str(flink_jars.wheel() / "conf")}
    done = subprocess.run(
        [*command, MAIN.replace("/", "."), "--version"], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert "Version: " in done.stdout
    return next(line for line in done.stdout.splitlines() if f"{MAIN.replace('/', '.')} source:" in line).split("source: ")[1]


def test_classes_come_from_the_archive(context: Context, made: ClassArchive) -> None:
    assert loaded_from(context, made) == "shared objects file"
    assert not made.wants_recording()


@pytest.mark.parametrize("harm", ["cut", "overwritten", "empty"])
def test_a_broken_archive_costs_speed_only(context: Context, made: ClassArchive, tmp_path: Path, harm: str) -> None:
    assert made.file is not None
    content = made.file.read_bytes()
    half = len(content) // 2
    broken = ClassArchive(made.java, made.jars, tmp_path)
    broken.recorded(made.classes)
    (tmp_path / made.file.name).write_bytes(
        {"cut": content[:half], "overwritten": content[:half] + b"\xff" * 4_096 + content[half + 4_096 :], "empty": b""}[harm]
    )
    assert loaded_from(context, broken).startswith("file:")
    assert not list(tmp_path.glob("*.jsa")) and broken.classes.exists(), "it is made anew"


def test_what_running_services_have_loaded_is_added(made: ClassArchive, tmp_path: Path) -> None:
    listed, log_file = tmp_path / "listed", tmp_path / "classes-taskmanager.log"
    listed.write_text("java/lang/Object id: 0\n@lambda-proxy a/B c\n")
    log_file.write_text(
        "java.lang.Object source: jrt:/java.base\nx.y.Of$Jar source: file:/some.jar\n"
        "x.y.Made$$Lambda$1/0x01 source: x.y.Made\nx.y.Proxy source: __JVM_DefineClass__\nx.y.Cut sou"
    )
    other = ClassArchive(made.java, made.jars, tmp_path)
    other.recorded(listed, [log_file, tmp_path / "of-a-service-that-never-ran.log"])
    assert other.classes.read_text().splitlines() == ["java/lang/Object id: 0", "@lambda-proxy a/B c", "x/y/Of$Jar"]


def test_another_class_path_has_another_archive(made: ClassArchive, tmp_path: Path) -> None:
    touched = tmp_path / "touched.jar"
    touched.write_bytes(b"")
    assert ClassArchive(made.java, [*made.jars, touched], made.folder).wants_recording()


def test_the_planner_stands_in_for_its_loader(context: Context) -> None:
    names = [path.name for path in flink_jars.class_path(context)]
    assert names == sorted(names)
    assert [name.rsplit("-", 1)[0] for name in names if "planner" in name] == ["flink-table-planner"]
