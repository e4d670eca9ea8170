"""What apprise sends, really sent: its JSON plug-in against a web server."""

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from services.dispatcher.delivery import Outcome, RetryPolicy
from tests.dispatcher.conftest import Bench, answers, record

ONCE = RetryPolicy(attempts=1)


def add(bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_URL", f"json://user:s3cretword@127.0.0.1:{httpserver.port}/hook")
    bench.add("hook", "apprise", url="${CHAT_URL}")


def test_title_text_and_kind_arrive(bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = answers(httpserver, Response("ok"))
    add(bench, httpserver, monkeypatch)
    assert bench.deliver(record(), policy=ONCE) is Outcome.DELIVERED
    body = seen[0].get_json()
    assert (body["title"], body["message"], body["type"]) == (
        "[FIRING:1] Latency of chat",
        "Latency is high — “three times”",
        "failure",
    )


@pytest.mark.parametrize(
    "answer", [Response("s3cretword is wrong", 500), Response("", 302, {"Location": "/other"})], ids=["refused", "redirected"]
)
def test_a_refusal_is_a_failure_and_tells_no_secret(
    bench: Bench, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, answer: Response
) -> None:
    answers(httpserver, answer)
    httpserver.expect_request("/other").respond_with_data("ok")
    add(bench, httpserver, monkeypatch)
    assert bench.deliver(record(), policy=ONCE) is Outcome.DEAD
    assert [request.path for request, _ in httpserver.log] == ["/hook"]
    assert bench.letters[0].reason
    assert "s3cretword" not in repr(bench.letters)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("nothing://x", "expected a URL that apprise understands"), ("syslog://", "expected a service, found a URL of this machine")],
)
def test_a_url_that_is_no_service_is_refused_for_good(bench: Bench, url: str, reason: str) -> None:
    bench.add("hook", "apprise", url=url)
    assert bench.deliver(record()) is Outcome.DEAD
    assert (bench.letters[0].attempts, bench.letters[0].reason) == (1, reason)
