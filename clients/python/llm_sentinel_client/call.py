"""One call of a model, from its prompt to its answer or failure."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_sentinel_client.client import Sentinel


class Call:
    """A `with` block around the call.

    It sends an `llm.request` at its start when there is a prompt, and at its end an `llm.response`, or an `llm.error` for an exception, which goes on.
    """

    def __init__(
        self, sentinel: Sentinel, model: str, prompt: str | None, parameters: Mapping[str, Any] | None, metadata: dict[str, Any]
    ) -> None:
        self.correlation_id = str(uuid.uuid4())
        self._sentinel, self._model, self._prompt, self._parameters, self._metadata = sentinel, model, prompt, parameters, metadata
        self._answer: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._began_s = time.perf_counter()

    def answered(
        self,
        response: str | None = None,
        *,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        total_tokens: int | None = None,
        cost_usd: float | None = None,
        finish_reason: str | None = None,
        model: str | None = None,
    ) -> None:
        """What came back. Without `total_tokens` it is the sum of the two; a cost that is left out is computed by the gateway."""
        if total_tokens is None and isinstance(prompt_tokens, int) and isinstance(completion_tokens, int):
            total_tokens = prompt_tokens + completion_tokens
        answer = {
            "response": response,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": total_tokens,
            "cost": cost_usd,
            "finish_reason": finish_reason,
            "model": model,
        }
        self._answer |= {name: value for name, value in answer.items() if value is not None}

    def streamed(self, piece: str | None) -> None:
        """One piece of a streamed answer: the first gives the time to the first token, all together are the response."""
        if piece:
            self._answer.setdefault("time_to_first_token_ms", self._elapsed_ms())
            self._pieces.append(piece)

    def __enter__(self) -> Call:
        self._began_s = time.perf_counter()
        if self._prompt is not None:
            data = {"model": self._model, "prompt": self._prompt, "parameters": self._parameters}
            self._sentinel.event("llm.request", data, correlation_id=self.correlation_id, metadata=self._metadata)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        common = {"model": self._model, "latency_ms": self._elapsed_ms()}
        if error is None:
            streamed = {"response": "".join(map(str, self._pieces))} if self._pieces else {}
            data = {"status": "success", **common, **streamed, **self._answer}
            self._sentinel.event("llm.response", data, correlation_id=self.correlation_id, metadata=self._metadata)
        elif isinstance(error, Exception):  # a cancelled call or the end of the process is no failure of the model
            failure = {"error_type": type(error).__name__, "message": _text(error), "status_code": _status_code(error)}
            self._sentinel.event("llm.error", failure | common, correlation_id=self.correlation_id, metadata=self._metadata)

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._began_s) * 1000, 3)


def _text(error: BaseException) -> str:
    try:
        return str(error)[:2_000]
    except Exception:
        return ""


def _status_code(error: BaseException) -> int | None:
    """Client libraries of models keep the HTTP status of a failure under this name."""
    try:
        code = getattr(error, "status_code", None)
    except Exception:
        return None
    return code if isinstance(code, int) else None
