"""The class path of every Flink JVM: the wheel's jars, its Python jar and the connectors, in one order."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from services.stack.jars import cache_dir
from services.stack.service import Context

_LOADER = "flink-table-planner-loader-"
_INNER = "flink-table-planner.jar"


def wheel() -> Path:
    """Folder of the installed PyFlink."""
    import pyflink

    return Path(pyflink.__file__).parent


def link_lib(context: Context) -> Path:
    """FLINK_LIB_DIR: links to the wheel's jars, its Python jar (which the wheel keeps off the class path) and the connectors.

    The planner itself stands in for its loader, which would unpack it into the temporary folder at every start and load its classes past every
    cache of them; Flink allows for this exchange.
    """
    jars = [*wheel().glob("lib/*.jar"), *wheel().glob("opt/flink-python-*.jar"), *(context.layout.cache / "flink").glob("*.jar")]
    jars = [_planner(jar) if jar.name.startswith(_LOADER) else jar for jar in jars]
    folder = context.layout.cache / "flink-lib"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {jar.name: jar for jar in jars}
    for link in folder.iterdir():
        if link.name not in wanted or link.readlink() != wanted[link.name]:
            link.unlink(missing_ok=True)
    for name, jar in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(jar)
    return folder


def class_path(context: Context) -> list[Path]:
    """The jars that `link_lib` linked, by name: an archive of loaded classes holds for one order only."""
    return sorted((context.layout.cache / "flink-lib").glob("*.jar"))


def joined_class_path(context: Context) -> str:
    """Value of Java's option `-cp`."""
    return os.pathsep.join(map(str, class_path(context)))


def _planner(loader: Path) -> Path:
    """The planner's jar, unpacked once into the cache that all stacks of the user share."""
    target = cache_dir() / "unpacked" / loader.name.replace(_LOADER, "flink-table-planner-")
    with zipfile.ZipFile(loader) as outer:
        if target.exists() and target.stat().st_size == outer.getinfo(_INNER).file_size:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f"{target.name}.{os.getpid()}")
        scratch.write_bytes(outer.read(_INNER))
    scratch.replace(target)
    return target


def empty_python_jar(folder: Path) -> Path:
    """FLINK_OPT_DIR of a client: a folder with an empty jar under the name of Flink's Python jar.

    Flink's client uploads the jar that it finds there (42 MB) with every job, and each job loads its classes anew from the copy. The cluster has it
    on its class path already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for jar in wheel().glob("opt/flink-python-*.jar"):
        with zipfile.ZipFile(folder / jar.name, "w"):
            pass
    return folder
