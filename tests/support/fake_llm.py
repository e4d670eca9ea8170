"""A model behind OpenAI's HTTP API, for real client libraries: it answers, streams, or says that there were too many requests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("Four", ", of", " course", ".")
TOO_MANY = "Too many requests"
"""A prompt with these words is answered with status 429."""
PAUSE_S = 0.005
"""A call takes some milliseconds, so that calls have an order."""
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
_COMMON = {"id": "chatcmpl-1", "created": 1_790_000_000, "service_tier": "default", "system_fingerprint": "fp_1"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(PAUSE_S)
        server: Any = self.server
        server.requests.append((self.path, request))
        if self.path != "/v1/chat/completions":
            self._answer(404, {"error": {"message": f"no such route: {self.path}", "type": "invalid_request_error"}})
        elif TOO_MANY in json.dumps(request["messages"]):
            error = {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
            self._answer(429, {"error": error})
        elif request.get("stream"):
            self._stream(request)
        else:
            message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            self._answer(200, {**_COMMON, "object": "chat.completion", "model": _model(request), "choices": [choice], "usage": USAGE})

    def _stream(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for chunk in _chunks(request):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-should-retry", "false")  # OpenAI's own libraries ask for it; others would make the test wait
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _model(request: dict[str, Any]) -> str:
    """As OpenAI answers: the dated name of the model that was asked for."""
    return f"{request['model']}-2024-07-18"


def _chunks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    base = {**_COMMON, "object": "chat.completion.chunk", "model": _model(request)}
    for number, word in enumerate(WORDS):
        delta = {"content": word} | ({"role": "assistant"} if number == 0 else {})
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**base, "choices": [], "usage": USAGE}


class FakeLlm:
    """The server, in a thread. `url` is what clients take as base URL; `requests` are (path, body) as they came."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._server.requests = self.requests  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
