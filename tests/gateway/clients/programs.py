"""The snippets of docs/integrations.md as programs: with the ports of a test, and with three calls in the place of one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "integrations.md"
BEGIN, END = "<!-- table of clients: begin -->\n", "<!-- table of clients: end -->\n"

SECTIONS = {
    "Python client": "client-shop",
    "OpenTelemetry's own instrumentation of OpenAI": "genai-shop",
    "Traceloop (OpenLLMetry)": "traceloop-shop",
    "OpenInference (Phoenix)": "openinference-shop",
    "LiteLLM": "litellm-shop",
    "Langfuse": "langfuse-shop",
    "kafka-python": "kafka-shop",
}
"""Heading of the snippet → the application that it calls itself."""

QUESTION = "What is 2+2?"
_STREAMED, _FAILED = "Count to four.", "Too many requests"


def snippet(heading: str, language: str = "python") -> str:
    """The one block under a heading."""
    section = PAGE.read_text().split(f"\n### {heading}\n")[1].split("\n### ")[0]
    [block] = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(block)


def at_ports(program: str, ports: dict[int, int], topic: str) -> str:
    """With the ports in the place of the documented ones."""
    for documented, used in ports.items():
        program = program.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{used}")
    return program.replace('"llm-telemetry"', f'"{topic}"')


def with_three_calls(program: str) -> str:
    """`answer = …` becomes a call that succeeds, one that streams and one that fails; a snippet without it makes its three calls itself."""
    found = [
        node
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "answer" and QUESTION in ast.unparse(node)
    ]
    if not found:
        return program
    [call] = found
    text = ast.unparse(call.value)
    streamed = f"{text[:-1]}, stream=True, stream_options={{'include_usage': True}})".replace(QUESTION, _STREAMED)
    lines = program.splitlines()
    indent = " " * call.col_offset
    three = [
        f"answer = {text}",
        f"for chunk in {streamed}:",
        "    pass",
        "try:",
        f"    {text.replace(QUESTION, _FAILED)}",
        "except Exception as error:",
        "    failed = type(error).__name__",
        "assert failed == 'RateLimitError', failed",
    ]
    lines[call.lineno - 1 : call.end_lineno] = [indent + line for line in three]
    return "\n".join(lines) + "\n"
