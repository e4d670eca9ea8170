"""Receivers that misbehave: each becomes a recorded failure with its reason, and the good one beside them is not held up."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_httpserver import HTTPServer
from werkzeug import Response

from services.dispatcher.delivery import Delivery, Outcome, RetryPolicy
from services.dispatcher.notification import Notification
from tests.dispatcher.conftest import Bench, answers, record
from tests.support.certificates import self_signed


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on a free port that behaves so with every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=with_it, args=(connection,), daemon=True).start()

        def with_it(connection: socket.socket) -> None:
            with connection:
                try:
                    behave(connection)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def hang(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def no_tls(connection: socket.socket) -> None:
    connection.recv(1_024)
    connection.sendall(b"this is not TLS\r\n")


def endless(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")


def drop_by_drop(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")
        time.sleep(0.1)


def greets_and_hangs(connection: socket.socket) -> None:
    connection.sendall(b"220 relay.example.org ESMTP\r\n")
    hang(connection)


def unknown_authority(folder: Path) -> Callable[[socket.socket], None]:
    """A web server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(folder))

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65_536)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return serve


def test_none_of_them_delays_another(bench: Bench, httpserver: HTTPServer, tmp_path: Path) -> None:
    answers(httpserver, Response("ok"))
    httpserver.expect_request("/error").respond_with_data('{"error": "no"}')
    httpserver.expect_request("/moved").respond_with_data("", 307, {"Location": httpserver.url_for("/hook")})
    behaviours = (hang, no_tls, endless, drop_by_drop, unknown_authority(tmp_path), greets_and_hangs)
    with ExitStack() as servers:
        deaf, plain, chatty, dripping, stranger, relay = (servers.enter_context(server(behave)) for behave in behaviours)
        reasons = {
            "deaf": "no answer within 1 s",
            "handshake": "no answer within 1 s",
            "plain": "ConnectError [SSL: ",
            "stranger": "certificate verify failed: self-signed certificate",
            "relay": "SMTPReadTimeoutError: Timed out",
            "silent-relay": "SMTPConnectTimeoutError: Timed out",
            "chatty": "HTTP 500 xxx",
            "dripping": "no answer within 1 s",
            "error": "HTTP 200, and not ok",
            "moved": "HTTP 307 (redirects are not followed)",
        }
        bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
        bench.add("deaf", "webhook", url=f"http://127.0.0.1:{deaf}/", timeoutS=1)
        bench.add("handshake", "webhook", url=f"https://127.0.0.1:{deaf}/", timeoutS=1)
        bench.add("stranger", "webhook", url=f"https://127.0.0.1:{stranger}/", timeoutS=1)
        for name, port in (("relay", relay), ("silent-relay", deaf)):
            mail = {"from": "sentinel@example.org", "to": ["oncall@example.org"], "smarthost": f"127.0.0.1:{port}", "requireTls": False}
            bench.add(name, "email", timeoutS=1, **mail)
        bench.add("plain", "webhook", url=f"https://127.0.0.1:{plain}/", timeoutS=1)
        bench.add("chatty", "webhook", url=f"http://127.0.0.1:{chatty}/", timeoutS=5)
        bench.add("dripping", "webhook", url=f"http://127.0.0.1:{dripping}/", timeoutS=1)
        bench.add("error", "slack", webhookUrl=httpserver.url_for("/error"))
        bench.add("moved", "slack", webhookUrl=httpserver.url_for("/moved"))

        async def all_at_once(delivery: Delivery[Notification]) -> tuple[list[Outcome], int, list[Outcome]]:
            bad = [asyncio.create_task(delivery.deliver(record(name, name))) for name in reasons]
            good = [await delivery.deliver(record(f"h-{number}")) for number in range(10)]
            waiting = sum(not task.done() for task in bad)
            return good, waiting, list(await asyncio.gather(*bad))

        good, waiting, bad = bench.run(all_at_once, policy=RetryPolicy(attempts=1))
    assert good == [Outcome.DELIVERED] * 10
    assert waiting >= 2, "the deaf ones are still being waited for when the good one has everything"
    assert bad == [Outcome.DEAD] * len(reasons)
    for name, reason in reasons.items():
        assert reason in bench.ledger(name)[2], name


def accepts_and_says_nothing(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    hang(connection)


def test_who_accepts_and_then_says_nothing_is_told_once(bench: Bench) -> None:
    with server(accepts_and_says_nothing) as silent:
        bench.add("hook", "webhook", url=f"http://127.0.0.1:{silent}/", timeoutS=2)
        assert bench.deliver(record()) is Outcome.DELIVERED
    assert bench.ledger()[:2] == ("delivered", 1)


def test_a_megabyte_in_an_annotation_reaches_a_webhook_whole(bench: Bench, httpserver: HTTPServer) -> None:
    seen = answers(httpserver, Response("ok"))
    bench.add("hook", "webhook", url=httpserver.url_for("/hook"))
    alert = {"status": "firing", "annotations": {"summary": "x" * 1_000_000}, "startsAt": "2026-01-01T00:00:00Z"}
    assert bench.deliver(record(alerts=[alert])) is Outcome.DELIVERED
    assert len(seen[0].get_json()["alerts"][0]["annotations"]["summary"]) == 1_000_000
