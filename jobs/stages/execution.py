"""Submission of a topology: what PyFlink sets once for all Python operators, set for each kind of them."""

from __future__ import annotations

from typing import Any

from pyflink.datastream import StreamExecutionEnvironment

KEYED_BUNDLE_MS = 50
"""A bundle costs 2 to 3 ms of processor time, whatever is in it. Panes, correlation and alerts may wait 50 ms for company; single events may not."""


def execute(environment: StreamExecutionEnvironment, job: str) -> None:
    """Submit the job.

    PyFlink gives all Python operators the one bundle time of the environment when it makes the graph; those that are keyed get theirs after that.
    All operators of a slot also share one Python process, and so one lock of its interpreter, where single events would wait for the panes of a
    whole second. The vectorised hop gets a process of its own: without managed memory there is none to share.
    """
    graph = environment._generate_stream_graph(clear_transformations=True, job_name=job)
    for node in graph.getStreamNodes().toArray():
        factory = node.getOperatorFactory()
        if factory is None or _class(factory) != "SimpleOperatorFactory":
            continue
        operator = factory.getOperator()
        if _class(operator).startswith("ExternalPythonKeyed"):
            operator.getConfiguration().setString("python.fn-execution.bundle.time", str(KEYED_BUNDLE_MS))
        elif _class(operator) == "ArrowPythonScalarFunctionOperator":
            operator.getConfiguration().setString("python.fn-execution.memory.managed", "false")
    environment._j_stream_execution_environment.execute(graph)


def _class(java_object: Any) -> str:
    return str(java_object.getClass().getSimpleName())
