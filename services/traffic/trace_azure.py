"""Azure LLM inference trace 2023: each row becomes exactly one llm.response. What the trace lacks is modelled from a seed (docs/replay.md).

Trace: Microsoft Azure, AzurePublicDataset, CC BY 4.0 (Patel et al., "Splitwise: Efficient generative LLM inference using phase
splitting", ISCA 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

import numpy as np

from services.traffic.sources import SourceError
from services.traffic.timed import Event, TimedEvent, TimedStream, format_ms
from services.traffic.world import World, build_world

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
CHUNK = 1000
# Time to the first token grows with the context; the rest is a steady stream of tokens. Milliseconds per token are those of the model.
PREFILL_MS_PER_TOKEN = 0.25
FIRST_TOKEN_MS = 120.0
NOISE_SIGMA = 0.25
ERROR_SHARE = 0.005
_NAMESPACE = UUID("5a0e6a40-7b0f-5c8c-9d62-0f6d6c1d3f10")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """One request of the trace: arrival in epoch ms (cut from 100 ns), tokens of the prompt and of the answer."""

    ts_ms: int
    context_tokens: int
    generated_tokens: int


def read_azure(path: Path, seed: int) -> TimedStream:
    """The trace as llm.response events in file order, at the row's time of arrival. Raises SourceError naming the line of a bad row."""
    world = build_world(seed)
    rows = _rows(path)
    for base in itertools.count(0, CHUNK):
        chunk = list(itertools.islice(rows, CHUNK))
        if not chunk:
            return
        yield from _modelled(world, seed, path.name, base, chunk)


def parse_row(line: str, where: str) -> Row:
    """One CSV row. Raises SourceError."""
    parts = line.split(",")
    if len(parts) != 3:
        raise SourceError(f"{where}: expected 3 columns {HEADER}, found {len(parts)}: {line[:120]!r}")
    stamp, context, generated = parts
    try:
        whole, _, fraction = stamp.partition(".")
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        # 100 ns stamps: cut to milliseconds, since event time has that resolution; the order of the rows stays.
        ts_ms = (moment - _EPOCH) // timedelta(milliseconds=1) + int(fraction.ljust(3, "0")[:3] or "0")
        row = Row(ts_ms, int(context), int(generated))
    except ValueError as error:
        raise SourceError(
            f"{where}: expected TIMESTAMP like 2023-11-16 18:15:46.6805900 and two whole numbers, found {line[:120]!r}"
        ) from error
    if row.context_tokens < 0 or row.generated_tokens < 0:
        raise SourceError(f"{where}: expected token counts of at least 0, found {line[:120]!r}")
    return row


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline().strip().lstrip("\ufeff")
        if header != HEADER:
            raise SourceError(f"{path}:1: expected the header {HEADER} of azure-llm-2023, found {header[:120]!r}")
        for number, line in enumerate(file, 2):
            text = line.strip()
            if text:
                yield parse_row(text, f"{path}:{number}")


def _modelled(world: World, seed: int, name: str, base: int, rows: list[Row]) -> TimedStream:
    rng = np.random.default_rng([seed, 31, base])
    n = len(rows)
    app = np.minimum(np.searchsorted(np.cumsum(world.application_shares()), rng.random(n)), len(world.applications) - 1).tolist()
    user = np.minimum(np.searchsorted(np.cumsum(world.user_shares()), rng.random(n)), world.users - 1).tolist()
    pick = rng.random(n).tolist()
    noise = rng.lognormal(0.0, NOISE_SIGMA, n).tolist()
    failed = (rng.random(n) < ERROR_SHARE).tolist()
    for index, row in enumerate(rows):
        application = world.applications[app[index]]
        model = world.models[application.models[int(pick[index] * len(application.models))]]
        user_id = application.user_id(user[index])
        latency = FIRST_TOKEN_MS + row.context_tokens * PREFILL_MS_PER_TOKEN + row.generated_tokens * model.ms_per_token
        data = {
            "status": "error" if failed[index] else "success",
            "model": model.name,
            "prompt_tokens": row.context_tokens,
            "completion_tokens": row.generated_tokens,
            "total_tokens": row.context_tokens + row.generated_tokens,
            "latency_ms": round(latency * noise[index], 2),
            "cost": model.cost_usd(row.context_tokens, row.generated_tokens),
            "finish_reason": "error" if failed[index] else "stop",
        }
        event: Event = {
            "event_id": str(uuid5(_NAMESPACE, f"{name}|{seed}|{base + index}")),
            "timestamp": format_ms(row.ts_ms),
            "source": {"service": "azure-llm-2023", "host": "replay", "version": "1"},
            "event_type": "llm.response",
            "application_id": application.application_id,
            "tenant_id": application.tenant_id,
            "correlation_id": f"{name}:{base + index + 2}",
            "data": data,
            "metadata": {
                "user_id": user_id,
                "session_id": f"{user_id}-s1",
                "environment": application.environment,
                "tags": {"region": application.region, "modelled": "tenant,application,user,model,latency,cost,status"},
            },
        }
        yield TimedEvent(row.ts_ms, event)
