"""A topology of the product with another parallelism than the configured one: `slots.py NUMBER MODULE`."""

from __future__ import annotations

import sys
from importlib import import_module

from jobs.stages import environment


def main() -> None:
    slots, module = sys.argv[1:]
    environment._FIXED["parallelism.default"] = slots
    import_module(module).main()


if __name__ == "__main__":
    main()
