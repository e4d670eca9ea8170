"""A running job's graph as a Mermaid flow chart, from the plan that Flink's REST API gives."""

from __future__ import annotations

import html
import re
from typing import Any

_LONGEST_LABEL = 90


def mermaid(plan: dict[str, Any]) -> str:
    """The flow chart of a plan (`GET /jobs/<id>/plan`, member `plan`): one box a task, edges with their partitioning."""
    nodes = sorted(plan["nodes"], key=lambda node: str(node["id"]))
    numbers = {node["id"]: f"n{place}" for place, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {numbers[node["id"]]}["{_label(node)}"]' for node in nodes]
    for node in nodes:
        for source in node.get("inputs", []):
            how = str(source.get("ship_strategy", "")).lower()
            lines.append(f"  {numbers[source['id']]} -->{f'|{how}|' if how not in ('', 'forward') else ''} {numbers[node['id']]}")
    return "\n".join(lines) + "\n"


def _label(node: dict[str, Any]) -> str:
    """The operators that were chained into the task, numbers and catalogue names left out."""
    text = html.unescape(html.unescape(str(node["description"]))).replace("<br/>", " ")
    text = re.sub(r"\[\d+\]|default_catalog\.default_database\.|KafkaSource-|:(?=-|\+)|[+`\"]", "", text)
    text = re.sub(r"\((?:.(?!\())*?\)", "", text)
    names = [part.strip(" -:") for part in re.split(r"-> |:- |\+- | {2,}", text)]
    names = [name for name in names if name and not name.startswith(("ConstraintEnforcer", "TableToDataStream", "DataStreamToTable"))]
    label = " → ".join(dict.fromkeys(names))
    short = label if len(label) <= _LONGEST_LABEL else label[:_LONGEST_LABEL] + " …"
    return f"{short} ×{node['parallelism']}"
