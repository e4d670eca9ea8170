"""A running job's graph as a Mermaid flow chart, from what Flink's REST API tells of it."""

from __future__ import annotations

import re
from typing import Any

_PLUMBING = ("Calc", "ConstraintEnforcer", "TableToDataStream", "DataStreamToTable", "_stream_key_by_map_operator", "Map")


def mermaid(job: dict[str, Any]) -> str:
    """The flow chart of a job (`GET /jobs/<id>`): one box a task with the operators chained into it, edges with their partitioning."""
    nodes = job["plan"]["nodes"]
    names = {vertex["id"]: vertex["name"] for vertex in job["vertices"]}
    numbers = {node["id"]: f"n{place}" for place, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {numbers[node["id"]]}["{_label(names[node["id"]])} ×{node["parallelism"]}"]' for node in nodes]
    for node in nodes:
        for source in node.get("inputs", []):
            how = str(source.get("ship_strategy", "")).lower()
            lines.append(f"  {numbers[source['id']]} -->{f'|{how}|' if how not in ('', 'forward') else ''} {numbers[node['id']]}")
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    """The chained operators without the planner's numbers, and without what only converts."""
    text = re.sub(r"\[\d+\]|default_catalog\.default_database\.|KafkaSource-|Sink: ", "", name)
    parts = [part.strip(" ()") for part in re.split(r"->|,", text)]
    kept = [part.replace(": Writer", " → Kafka") for part in parts if part not in _PLUMBING and not part.endswith(": Committer")]
    return " → ".join(dict.fromkeys(kept)) or "convert"
