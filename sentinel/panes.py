"""Panes: what the detectors see of one key's events in one second.

Every field is an integer, so that merging is exact in any order: two runs that cut the stream differently end with the same bits.
Heavy-tailed quantities are also summed in the log domain (`LOG_SCALE * ln(1 + x)`, rounded), where a mean and a variance mean something.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import msgspec

LOG_SCALE = 1000
"""Log-domain sums count thousandths of a nat: `round(1000 * ln(1 + x))`, x in ms, tokens or micro-USD."""

HISTOGRAM_BUCKETS = 36
HISTOGRAM_FIRST_MS = 1.0
HISTOGRAM_GROWTH = 1.45
"""Latency buckets: bucket 0 ends at 1 ms, bucket i at 1.45**i ms, the last (35) is open: 1 ms to 307 s at 45 % a step."""

BUCKETS_PER_WORD = 2
BITS_PER_BUCKET = 31
HISTOGRAM_WORDS = HISTOGRAM_BUCKETS // BUCKETS_PER_WORD
"""In SQL and Postgres the histogram travels as 18 BIGINT words of 2 buckets x 31 bits: words merge by SUM while no bucket holds 2**31 events."""

PANE_WIDTH_MS = 1_000
USER_PANE_WIDTH_MS = 10_000

SHARDS = (3, 7, 22, 8, 1, 11, 12, 0)
"""Pane detection is keyed by shard, not by application: one call moves all panes of a shard's second, because a call costs more than a pane.
Their number is the greatest useful parallelism of that operator, and part of the state's layout (`sentinel.shard.STATE_VERSION`). Flink places a key by
its hash; each of these, the smallest such numbers, falls into another eighth of the 720 groups of keys, so that 1, 2, 4 or 8 subtasks have equally many."""


@lru_cache(maxsize=65_536)
def shard_of(tenant_id: str, application_id: str) -> int:
    """The shard of an application: all its models and users land together."""
    return SHARDS[zlib.crc32(f"{tenant_id}|{application_id}".encode()) % len(SHARDS)]


def turn_ms(shard: int) -> int:
    """How long after the others a shard does what comes round every ten seconds or every minute: all at once would hold up the panes of that second."""
    return SHARDS.index(shard) * PANE_WIDTH_MS


def histogram_bucket(latency_ms: float) -> int:
    """The bucket index 0..35 of a latency in ms."""
    if latency_ms <= HISTOGRAM_FIRST_MS:
        return 0
    return min(HISTOGRAM_BUCKETS - 1, math.ceil(math.log(latency_ms / HISTOGRAM_FIRST_MS) / math.log(HISTOGRAM_GROWTH)))


def histogram_upper_ms(bucket: int) -> float:
    """The upper bound of a bucket in ms; the last one has none (infinity)."""
    return math.inf if bucket >= HISTOGRAM_BUCKETS - 1 else HISTOGRAM_FIRST_MS * HISTOGRAM_GROWTH**bucket


def unpack_histogram(words: list[int]) -> list[int]:
    """36 bucket counts from 18 packed words."""
    mask = (1 << BITS_PER_BUCKET) - 1
    return [(word >> (BITS_PER_BUCKET * slot)) & mask for word in words for slot in range(BUCKETS_PER_WORD)]


class Pane(msgspec.Struct):
    """One second of one tenant, application and model. Times in epoch ms, latency in microseconds, cost in nano-USD (1e-9)."""

    tenant_id: str
    application_id: str
    model: str
    start_ms: int
    width_ms: int = PANE_WIDTH_MS
    events: int = 0
    prompts: int = 0
    calls: int = 0
    errors: int = 0
    latency_count: int = 0
    latency_sum_us: int = 0
    latency_log_sum: int = 0
    latency_log_sumsq: int = 0
    latency_max_us: int = 0
    latency_max_event: str = ""
    token_count: int = 0
    token_sum: int = 0
    token_log_sum: int = 0
    token_log_sumsq: int = 0
    token_max: int = 0
    token_max_event: str = ""
    cost_count: int = 0
    cost_sum_nano: int = 0
    cost_log_sum: int = 0
    cost_log_sumsq: int = 0
    cost_max_nano: int = 0
    cost_max_event: str = ""
    first_event: str = ""
    latency_hist: list[int] = []

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.width_ms


class UserPane(msgspec.Struct):
    """Ten seconds of one application seen by user: how many were active, and the busiest one."""

    tenant_id: str
    application_id: str
    start_ms: int
    width_ms: int = USER_PANE_WIDTH_MS
    users: int = 0
    events: int = 0
    top_user: str = ""
    top_user_events: int = 0

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.width_ms
