"""The Python half of a submission: `run_topology.py CONNECTION MODULE [ARGS…]` executes a topology module as `__main__`.

The JVM that plans for it starts at the same time, and writes the port on which it listens for Python into the file CONNECTION.
"""

from __future__ import annotations

import os
import runpy
import struct
import sys
import threading
import time
from pathlib import Path

TIME_LIMIT_S = 120.0
_PORT = struct.Struct("!I")


def connect(connection: Path) -> None:
    """Connect PyFlink to the JVM as soon as it listens: it ends after ten seconds without company."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while not connection.exists() or connection.stat().st_size < _PORT.size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the JVM of Flink's client has not started within {TIME_LIMIT_S:.0f} s")
        time.sleep(0.02)
    os.environ["PYFLINK_GATEWAY_PORT"] = str(_PORT.unpack_from(connection.read_bytes())[0])
    from pyflink.java_gateway import get_gateway

    get_gateway()


def main() -> None:
    """Run the topology; the process ends at once when it is submitted."""
    connecting = threading.Thread(target=connect, args=(Path(sys.argv[1]),), daemon=True)
    connecting.start()
    import pyflink.datastream
    import pyflink.table  # noqa: F401  takes as long as the JVM's start

    connecting.join()
    if "PYFLINK_GATEWAY_PORT" not in os.environ:
        raise SystemExit("RuntimeError: there is no JVM to plan the topology")
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to do, and what imported libraries do at the end takes its time.
    os._exit(0)


if __name__ == "__main__":
    main()
