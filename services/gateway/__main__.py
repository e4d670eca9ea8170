"""`python -m services.gateway` is `sentinel gateway`."""

from __future__ import annotations

import sys

from services.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["gateway", *sys.argv[1:]]))
