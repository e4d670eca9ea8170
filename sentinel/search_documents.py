"""Anomalies as documents of the search index: which index, which id, which body."""

from __future__ import annotations

from typing import Any

import msgspec

from sentinel.anomaly import Anomaly

INDEX_PREFIX = "sentinel-anomalies-"


def index_action(record: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(bulk action, document) of an anomaly record. The id is the anomaly's, the month that of its first event, so a repeat overwrites its document."""
    anomaly = Anomaly.from_json(record)
    month = (anomaly.first_seen or anomaly.timestamp)[:7].replace("-", ".")
    return {"index": {"_index": f"{INDEX_PREFIX}{month}", "_id": anomaly.anomaly_id}}, document(anomaly)


def document(anomaly: Anomaly) -> dict[str, Any]:
    """The body: the record itself, without fields that are empty."""
    return {name: value for name, value in msgspec.to_builtins(anomaly).items() if value not in ("", {}, [])}
