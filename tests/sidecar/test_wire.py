"""The way to the gateway on the wire: gzip and TLS."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from tests.support.doors import Doors, OpenDoors, event
from tests.support.sidecars import OpenSidecar
from tests.support.waiting import wait_for


class Tap:
    """Passes connections on to an address and counts the bytes that clients send; `seen` are their first ones."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self.seen = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65_536):
                if counted:
                    self.sent += len(data)
                    self.seen += data[:2_000]
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            sink.close()


@contextmanager
def tapped(target: str) -> Iterator[Tap]:
    tap = Tap(target)
    try:
        yield tap
    finally:
        tap.close()


def words() -> str:
    """About 2,000 characters that gzip makes a quarter of."""
    return " ".join(random.Random(1).choices(["latency", "token", "prompt", "model", "answer", "zebra"], k=330))


def bytes_on_the_wire(doors: Doors, open_sidecar: OpenSidecar, protocol: str, *, gzip: bool) -> int:
    with tapped(doors.grpc if protocol == "grpc" else doors.url.removeprefix("http://")) as tap:
        forwarding = {"central": {"endpoint": tap.address, "protocol": protocol}, "compression": {"enabled": gzip}}
        beside = open_sidecar(tap.address, forwarding=forwarding, detection={"remote": {"enabled": False}})
        beside.send([event(note=words()) for _ in range(100)])
        forwarded = "sentinel_sidecar_forwarded_events_total"
        wait_for(lambda: beside.metric(forwarded), 20, "the batch", until=lambda count: count == 100, pause_s=0.05)
        beside.close()
        return tap.sent


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_gzip_where_it_is_wanted(doors: Doors, open_sidecar: OpenSidecar, protocol: str) -> None:
    plain, zipped = (bytes_on_the_wire(doors, open_sidecar, protocol, gzip=gzip) for gzip in (False, True))
    assert plain > 200_000 and zipped < plain / 4


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tls_with_the_gateways_own_authority(open_doors: OpenDoors, open_sidecar: OpenSidecar, tmp_path: Path, protocol: str) -> None:
    certificate, key = self_signed(tmp_path)
    tls = {"tls": {"enabled": True, "cert": str(certificate), "key": str(key)}}
    doors = open_doors({"protocols": {"http": tls, "grpc": tls}})
    with tapped(doors.grpc if protocol == "grpc" else doors.url.removeprefix("http://")) as tap:
        central = {"endpoint": tap.address, "protocol": protocol, "tls": {"enabled": True}}
        stranger = open_sidecar(tap.address, forwarding={"central": central})
        stranger.send([event()])
        wait_for(lambda: stranger.metric("sentinel_sidecar_retries_total"), 20, "the certificate to be refused", pause_s=0.05)
        assert stranger.metric("sentinel_sidecar_ring_events") == 1
        trusted = {"central": {**central, "tls": {"enabled": True, "caFile": str(certificate)}}, "compression": {"enabled": False}}
        beside = open_sidecar(tap.address, forwarding=trusted)
        beside.send([event(note="planted")])
        wait_for(lambda: beside.metric("sentinel_sidecar_forwarded_events_total"), 20, "the event", pause_s=0.05)
        assert tap.seen and b"planted" not in tap.seen
    assert [one["note"] for one in doors.events()] == ["planted"]
