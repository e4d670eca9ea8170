"""Submission of a topology: what PyFlink sets once for all Python operators, set for each kind of them."""

from __future__ import annotations

from typing import Any

from pyflink.datastream import StreamExecutionEnvironment

HOP_BUNDLE_MS = 10
"""Half of what `flink-conf/config.yaml` gives to all: Flink looks after a bundle at multiples of this time only, and one takes about 10 ms, so the
next would end after 40 ms instead of 20 or 30."""


def execute(environment: StreamExecutionEnvironment, job: str) -> None:
    """Submit the job.

    PyFlink gives all Python operators the one bundle time of the environment when it makes the graph; the vectorised hop, for which single events
    wait, gets its own after that. All operators of a slot also share one Python process, and so one lock of its interpreter, where single events
    would wait for the panes of a whole second. The hop gets a process of its own: without managed memory there is none to share.
    """
    graph = environment._generate_stream_graph(clear_transformations=True, job_name=job)
    for node in graph.getStreamNodes().toArray():
        factory = node.getOperatorFactory()
        if factory is None or _class(factory) != "SimpleOperatorFactory":
            continue
        operator = factory.getOperator()
        if _class(operator) == "ArrowPythonScalarFunctionOperator":
            operator.getConfiguration().setString("python.fn-execution.bundle.time", str(HOP_BUNDLE_MS))
            operator.getConfiguration().setString("python.fn-execution.memory.managed", "false")
    environment._j_stream_execution_environment.execute(graph)


def _class(java_object: Any) -> str:
    return str(java_object.getClass().getSimpleName())
