"""Anomalies as documents of the search index: which index, which id, which body."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.anomaly import Anomaly

INDEX_PREFIX = "sentinel-anomalies-"
FIRST, UPDATED = 1 << 32, (1 << 32) + 1
"""Versions of a document. A finding of a single event goes out before correlation knows of it, also one of an anomaly that is known: it must not bring
back an older count and status. Above any number that OpenSearch counts up to by itself."""


def index_action(record: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(bulk action, document) of an anomaly record. The id is the anomaly's, the month that of its first event, so a repeat overwrites its document,
    but a first record no update: OpenSearch answers 409, and the document is newer already."""
    anomaly = Anomaly.from_json(record)
    month = (anomaly.first_seen or anomaly.timestamp)[:7].replace("-", ".")
    place = {"_index": f"{INDEX_PREFIX}{month}", "_id": anomaly.anomaly_id}
    version = {"version": UPDATED if anomaly.update else FIRST, "version_type": "external_gte"}
    return {"index": place | version}, document(anomaly)


def document(anomaly: Anomaly) -> dict[str, Any]:
    """The body: the record itself, without fields that are empty."""
    return {name: value for name, value in msgspec.to_builtins(anomaly).items() if value not in ("", {}, [])}
