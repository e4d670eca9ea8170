"""`python -m tests.support.stream_graphs OUT TOPOLOGY…`: builds each topology as its client does, and writes its operators instead of running it."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.stages import execution

    out, topologies = Path(sys.argv[1]), sys.argv[2:]
    graphs: dict[str, list[dict[str, Any]]] = {}

    def write_down(environment: StreamExecutionEnvironment, job: str) -> None:
        nodes = environment._j_stream_execution_environment.getStreamGraph(False).getStreamNodes().toArray()
        graphs[job] = [
            {
                "id": node.getId(),
                "name": node.getOperatorName(),
                "uid": node.getTransformationUID(),
                "parallelism": node.getParallelism(),
                "description": node.getOperatorDescription(),
            }
            for node in nodes
        ]

    # Before the topologies are imported: they take the function by its name.
    execution.execute = write_down
    for topology in topologies:
        import_module(f"jobs.{topology}").main()
    out.write_text(json.dumps(graphs))


if __name__ == "__main__":
    main()
