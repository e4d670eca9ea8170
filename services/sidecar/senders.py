"""One batch to the gateway, by gRPC or HTTP, and what its answer means for the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Told(NamedTuple):
    """A refusal of one event: what the gateway says of it."""

    field: str
    reason: str


class Delivered(NamedTuple):
    """The gateway has taken the batch; these events of it not, for good."""

    accepted: int
    refused: list[Told]


class AwayError(Exception):
    """The gateway takes nothing now: it is not there, asks to wait, or does not let us in. The same batch may pass later."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class FailedError(Exception):
    """The gateway broke over this batch. It counts as an attempt."""


class RefusedError(Exception):
    """The gateway will never take this batch."""


class BatchTooLargeError(RefusedError):
    """Nor a batch of this size; its halves may pass."""


class Sender(Protocol):
    """Sends raw JSON events."""

    max_batch_bytes: int

    async def send(self, events: Sequence[bytes]) -> Delivered:
        """Raises AwayError, FailedError, RefusedError, BatchTooLargeError."""

    async def close(self) -> None:
        """Ends the connection."""
