"""How sending fails."""

from __future__ import annotations


class SendError(Exception):
    """A notification was not accepted.

    Attributes:
        retryable: whether the same notification may be accepted later (network, time-out, 429, 5xx), or never will (wrong
            address or settings).
        retry_after_s: how long the receiver asked us to wait, in seconds; None when it did not ask.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
