"""`python -m services.sidecar` is `sentinel sidecar`."""

from __future__ import annotations

import sys

from services.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["sidecar", *sys.argv[1:]]))
