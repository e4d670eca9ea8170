"""The bench's JSON as a table: `python -m bench.report FILE` prints the Markdown that docs/performance.md shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench import rounds

_ENGINE = ("taskmanager", "python-workers", "jobmanager", "engine-0", "engine-1")


def render(document: dict[str, Any]) -> str:
    """All tables of one run."""
    machine = document["machine"]
    head = (
        f"Measured {document['begun']} with `{document['command']}` on {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}, Flink {machine['packages']['apache-flink']}; load before: {machine['load_before'][0]}."
    )
    rows = document["rows"]
    parts = [head, _throughput([row for row in rows if row.get("events")]), rounds.render(rows)]
    parts += [_details(row) for row in rows if row.get("details") or not row.get("events")]
    return "\n\n".join(part for part in parts if part)


def _throughput(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    bare_rows = {row.get("round", 1): row for row in rows if row["name"] == "bare-decode"}
    lines = [
        "| Row | What | Events | Events/s, steady | of bare | Whole run, s | Events/s | of bare "
        "| CPU s per million | Memory, MiB | Checkpoints | Restarts | Outliers |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        rate, whole = row.get("rate", 0.0), _whole(row)
        bare_row = bare_rows.get(row.get("round", 1), {})
        bare, bare_whole = bare_row.get("rate", 0.0), _whole(bare_row)
        cells = (
            row["name"],
            row["what"],
            f"{row['events']:,}",
            f"{rate:,.0f}" if rate else "–",
            f"{rate / bare:.2f}" if rate and bare else "–",
            f"{row.get('wall_s', 0.0):.1f}",
            f"{whole:,.0f}" if whole else "–",
            f"{whole / bare_whole:.2f}" if whole and bare_whole else "–",
            f"{_engine(row.get('cpu_s_per_million', {})):.1f}" if row.get("cpu_s_per_million") else "–",
            f"{_engine(row.get('pss_bytes', {})) / 2**20:,.0f}",
            f"{row.get('checkpoints', 0)}" + (f" ({row['checkpoints_failed']} failed)" if row.get("checkpoints_failed") else ""),
            row.get("restarts", 0),
            _outliers(row.get("outliers", {})),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _whole(row: dict[str, Any]) -> float:
    """Events a second from the submission until every event is committed: what a backlog takes, the start of the job included."""
    wall_s = row.get("wall_s", 0.0)
    return float(row.get("events", 0)) / wall_s if wall_s else 0.0


def _engine(values: dict[str, float]) -> float:
    """Of the engine's own processes: Kafka and Postgres are the same for all, and stand in the JSON."""
    return sum(value for name, value in values.items() if name in _ENGINE)


def _outliers(found: dict[str, Any]) -> str:
    if not found:
        return ""
    return (
        f"{found['found']} of {found['planted']}"
        + (f", {len(found['extra'])} more" if found["extra"] else "")
        + (" ✓" if found["same"] else "")
    )


def _details(row: dict[str, Any]) -> str:
    return f"**{row['name']}**: {row['what']} (`{row['command']}`)\n\n" + render_details(row.get("details", {}))


def render_details(details: dict[str, Any]) -> str:
    """Figures of one row as a table."""
    return "\n".join(["| Figure | Value |", "|---|--:|", *(f"| {name} | {value} |" for name, value in _flat(details))])


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name} ")
        else:
            flat.append((f"{prefix}{name}", f"{value:,.2f}" if isinstance(value, float) else value))
    return flat


if __name__ == "__main__":
    print(render(json.loads(Path(sys.argv[1]).read_text())))
