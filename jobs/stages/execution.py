"""Submission of a topology: keyed Python operators get a longer bundle time than the hop."""

from __future__ import annotations

from typing import Any

from pyflink.datastream import StreamExecutionEnvironment

KEYED_BUNDLE_MS = 50
"""A bundle costs 2 to 3 ms of processor time, whatever is in it. Panes, correlation and alerts may wait 50 ms for company; single events may not."""


def execute(environment: StreamExecutionEnvironment, job: str) -> None:
    """Submit the job.

    PyFlink gives all Python operators the one bundle time of the environment when it makes the graph; those that are keyed get theirs after that.
    """
    graph = environment._generate_stream_graph(clear_transformations=True, job_name=job)
    for node in graph.getStreamNodes().toArray():
        factory = node.getOperatorFactory()
        if factory is not None and _class(factory) == "SimpleOperatorFactory" and _class(factory.getOperator()).startswith("ExternalPythonKeyed"):
            factory.getOperator().getConfiguration().setString("python.fn-execution.bundle.time", str(KEYED_BUNDLE_MS))
    environment._j_stream_execution_environment.execute(graph)


def _class(java_object: Any) -> str:
    return str(java_object.getClass().getSimpleName())
