"""Writes anomalies to OpenSearch in bulk. Ids are the anomalies' own, so that a repeat overwrites and a replay changes nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException
from pyflink.common import Row
from pyflink.datastream import AsyncFunction, RuntimeContext

from operators.bundle_end import end_bundles_at_once
from sentinel.search_documents import index_action

_COLLECT_S = 0.03
_RETRY_FIRST_S = 0.5
_RETRY_MOST_S = 10.0
_REFUSED = 400
_NEWER_THERE = 409
_log = logging.getLogger(__name__)


class IndexAnomalies(AsyncFunction):  # type: ignore[misc]
    """In: rows (anomaly JSON). Out: the ids of what OpenSearch holds by then, the same or newer.

    Records of some milliseconds share one request, and one request is under way at a time: two records of one anomaly keep their order.
    While OpenSearch is away the request is repeated; Flink holds the checkpoint, so nothing is lost, and no other job waits.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def open(self, runtime_context: RuntimeContext) -> None:
        end_bundles_at_once()
        self._client = OpenSearch(self._url, timeout=30, max_retries=0)
        self._waiting: list[tuple[str, asyncio.Future[list[str]]]] = []
        self._sender: asyncio.Task[None] | None = None

    def close(self) -> None:
        self._client.close()

    async def async_invoke(self, value: Row) -> list[str]:
        done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((value[0], done))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())
        return await done

    async def _send_all(self) -> None:
        await asyncio.sleep(_COLLECT_S)
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await self._send([record for record, _ in batch])
            except Exception as error:
                # Whatever it is, each element must learn of it: an element without an answer would hold the checkpoint for ever.
                for _, done in batch:
                    done.set_exception(error)
                continue
            for (_, done), result in zip(batch, results, strict=True):
                done.set_result(result)

    async def _send(self, records: list[str]) -> list[list[str]]:
        """For each record its id, or nothing when OpenSearch refuses the document for good."""
        body: list[dict[str, Any]] = [line for record in records for line in index_action(record)]
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                answer = await asyncio.to_thread(self._client.bulk, body=body)
                statuses = [item["index"]["status"] for item in answer["items"]]
                if not any(status == 429 or status >= 500 for status in statuses):
                    return [self._outcome(item["index"]) for item in answer["items"]]
                problem = f"statuses {sorted(set(statuses))}"
            except OpenSearchException as error:
                problem = str(error)
            _log.warning("OpenSearch at %s did not take %d documents (%s); again in %.1f s", self._url, len(records), problem, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _RETRY_MOST_S)

    def _outcome(self, item: dict[str, Any]) -> list[str]:
        if item["status"] >= _REFUSED and item["status"] != _NEWER_THERE:
            _log.error("OpenSearch refuses document %s: %s", item["_id"], item.get("error"))
            return []
        return [str(item["_id"])]
