"""A topology of the product, configured as it is there, with another parallelism: `slots.py NUMBER MODULE`."""

from __future__ import annotations

import sys
from importlib import import_module

from jobs.stages import environment
from services.stack.flink_conf import conf_dir, load
from services.stack.submit import job_name


def main() -> None:
    slots, module = sys.argv[1:]
    # Submitted under this module's name, it would have the configuration of no topology.
    environment._FIXED |= {key: str(value) for key, value in load(conf_dir() / f"{job_name(module)}.yaml").items()}
    environment._FIXED["parallelism.default"] = slots
    import_module(module).main()


if __name__ == "__main__":
    main()
