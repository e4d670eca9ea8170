"""The sums of the block that is going on, which a lane fills for all its detectors at once."""

from __future__ import annotations

from sentinel.detection.metrics import Read
from sentinel.panes import HISTOGRAM_BUCKETS, Pane


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
