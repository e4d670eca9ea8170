"""A detector of somebody else's that throws, installed as a package for the processes of a stack."""

from __future__ import annotations

from pathlib import Path

THROWS = "thrown"
"""The application at which it throws."""
_MODULE = f'''
from sentinel.detection.custom import CustomDetector


class Throws(CustomDetector):
    """Throws on purpose."""

    def judge(self, pane):
        if pane.application_id == "{THROWS}":
            raise RuntimeError("broken on purpose")
        return None
'''


def install(folder: Path) -> None:
    """Writes the package as an installer would; `folder` belongs on the path of Python."""
    (folder / "throws_on_purpose.py").write_text(_MODULE)
    about = folder / "throws_on_purpose-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: throws-on-purpose\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[llm_sentinel.detectors]\nthrows-on-purpose = throws_on_purpose:Throws\n")
