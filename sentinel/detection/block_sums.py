"""The sums of the block that is going on, which a lane fills for all its detectors at once, and the blocks that wait to be learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentinel.detection.metrics import Read
from sentinel.panes import HISTOGRAM_BUCKETS, Pane

PENDING_BLOCKS = 5


class WaitingBlocks:
    """The last `PENDING_BLOCKS` blocks, [learnable, calls, log_sum, log_sumsq, total] each; `sums`: calls, log_sum and total of them all."""

    def __init__(self, blocks: Iterable[list[Any]] = ()) -> None:
        self.blocks: list[list[Any]] = [list(block) for block in blocks]
        self.sums = [sum(block[place] for block in self.blocks) for place in (1, 2, 4)]

    def add(self, block: list[Any]) -> list[Any] | None:
        """Let a block wait; the one that has waited long enough, if any."""
        sums = self.sums
        self.blocks.append(block)
        sums[0] += block[1]
        sums[1] += block[2]
        sums[2] += block[4]
        if len(self.blocks) <= PENDING_BLOCKS:
            return None
        oldest = self.blocks.pop(0)
        sums[0] -= oldest[1]
        sums[1] -= oldest[2]
        sums[2] -= oldest[4]
        return oldest

    def empty(self) -> None:
        """What waits is no evidence any more, and will not be learned."""
        for block in self.blocks:
            block[:] = [False, 0, 0, 0, 0]
        self.sums = [0, 0, 0]

    def not_to_be_learned(self) -> None:
        """What waits stays evidence, and will not be learned."""
        for block in self.blocks:
            block[0] = False


class BlockSums:
    """`sums`: calls, log_sum, log_sumsq and total of the current block; `histogram`: its latencies, for what is judged `by_block`."""

    def __init__(self, by_block: bool) -> None:
        self.by_block = by_block
        self.sums = [0, 0, 0, 0]
        self.histogram: list[int] = []

    def add(self, sample: Read, pane: Pane) -> None:
        """Count a pane."""
        count, log_sum, log_sumsq, total, _, _ = sample
        sums = self.sums
        sums[0] += count
        sums[1] += log_sum
        sums[2] += log_sumsq
        sums[3] += total
        if self.by_block and pane.latency_hist:
            add_buckets(self.histogram, pane.latency_hist)

    def attach(self, sums: list[int], histogram: list[int]) -> None:
        """Count in lists that somebody else fills."""
        self.sums = sums
        if self.by_block:
            self.histogram = histogram

    def detach(self) -> None:
        """Count the rest of the block by itself."""
        self.sums, self.histogram = list(self.sums), list(self.histogram)


def add_buckets(histogram: list[int], latency_hist: list[int]) -> None:
    """Add a pane's latency buckets to a histogram, in place; an empty one has none yet."""
    if not histogram:
        histogram += [0] * HISTOGRAM_BUCKETS
    for bucket, count in enumerate(latency_hist):
        if count:
            histogram[bucket] += count
