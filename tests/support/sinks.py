"""Everything that a run left in the sinks, in terms that do not depend on its tenants, its time or the moments of processing.

Runs on one stack have tenants `<run>.<tenant>` and event times that begin at different `base_ms` (a multiple of the dedup window). Ids are
functions of both; each is recomputed from the row that carries it, and its inputs, relative to the run, stand for it in the comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.alerting.matching import AlertKey
from sentinel.alerting.records import alert_id, notification_id
from sentinel.anomaly import DEFAULT_DEDUP_WINDOW_MS, anomaly_id
from sentinel.timestamps import from_rfc3339, to_rfc3339
from tests.support.shield_orders import once_in_order, orders
from tests.support.stack import Stack
from tests.support.streams import Stored

SEVERITIES = ("info", "warning", "critical")
ALL_SAMPLES_KEPT = 5
"""An anomaly of more events names some of them, and which depends on how they were batched."""

Rows = dict[str, list[Any]]


@dataclass(frozen=True)
class Run:
    """One pass of the traffic."""

    name: str
    base_ms: int

    def tenant(self, original: str) -> str:
        return f"{self.name}.{original}"

    def original(self, tenant: str) -> str:
        return tenant.removeprefix(f"{self.name}.")

    def owns(self, tenant: object) -> bool:
        return isinstance(tenant, str) and tenant.startswith(f"{self.name}.")

    def offset(self, moment: datetime | str | None) -> int | None:
        """Milliseconds since the run's base."""
        if moment is None:
            return None
        return (from_rfc3339(moment) if isinstance(moment, str) else round(moment.timestamp() * 1000)) - self.base_ms


def snapshot(stack: Stack, run: Run) -> Rows:
    """Sink → its rows of the run, sorted. Raises AssertionError for an id that is not the function of its row."""
    found = _table(stack, "anomalies", run)
    identities = {row["anomaly_id"]: _identity(row, run) for row in found}
    anomalies = [[*identities[row["anomaly_id"]], *_figures(row, run, identities)] for row in found]
    alerts, notified = _alerts(stack, run, identities)
    return {
        "postgres anomalies": _sorted(anomalies),
        "postgres alerts": alerts,
        "postgres notifications": notified,
        "postgres rollups": _rollups(stack, run),
        "postgres counters": _counters(stack, run),
        "topic llm-anomalies": _anomaly_records(stack, run, identities),
        "topic llm-alerts": _alert_records(stack, run),
        "topic notify-hook": _told(stack, run, "hook"),
        "topic notify-mail": _told(stack, run, "mail"),
        "topic sentinel-shield-actions": _ordered(stack, run, identities),
        "topic llm-rollups": _rollup_records(stack, run),
        "topic llm-telemetry-dlq": _dead_letters(stack, run),
    }


def differences(expected: Rows, found: Rows) -> str:
    """What is missing and what is too much, by sink; empty when equal."""
    lines = []
    for sink, rows in expected.items():
        wanted, got = {json.dumps(row, default=str) for row in rows}, {json.dumps(row, default=str) for row in found[sink]}
        if wanted != got or len(rows) != len(found[sink]):
            lines.append(f"{sink}: {len(rows)} rows expected, {len(found[sink])} found")
            lines += [f"  missing  {row[:600]}" for row in sorted(wanted - got)[:5]]
            lines += [f"  too much {row[:600]}" for row in sorted(got - wanted)[:5]]
    return "\n".join(lines)


def _table(stack: Stack, name: str, run: Run) -> list[dict[str, Any]]:
    found = stack.rows(f"SELECT to_jsonb(t) FROM sentinel.{name} t WHERE tenant_id LIKE %s", f"{run.name}.%")
    return [row[0] for row in found]


def _moment(run: Run, text: str | None) -> int | None:
    return None if text is None else run.offset(datetime.fromisoformat(text))


def _identity(row: dict[str, Any], run: Run) -> tuple[Any, ...]:
    """The inputs of the anomaly's id: severity at first and dedup bucket are found by trying, the rest stands in the row."""
    seen_ms = run.base_ms + (_moment(run, row["first_seen"]) or 0)
    for severity in SEVERITIES:
        for back in range(-1, 4):
            at_ms = seen_ms - back * DEFAULT_DEDUP_WINDOW_MS
            found = anomaly_id(
                tenant_id=row["tenant_id"], detector_id=row["detector_id"], application_id=row["application_id"], severity=severity,
                entity_type=row["entity_type"], entity_id=row["entity_id"], first_event_ms=at_ms,
            )  # fmt: skip
            if found == row["anomaly_id"]:
                bucket = at_ms // DEFAULT_DEDUP_WINDOW_MS - run.base_ms // DEFAULT_DEDUP_WINDOW_MS
                return (run.original(row["tenant_id"]), row["application_id"], row["detector_id"], severity, row["entity_id"], bucket)
    raise AssertionError(f"anomaly id {row['anomaly_id']} is no function of its row: {row}")


def _figures(row: dict[str, Any], run: Run, identities: dict[str, tuple[Any, ...]]) -> list[Any]:
    names = ("severity", "score", "status", "metric", "baseline_value", "observed_value", "deviation", "threshold", "count")
    times = ("window_start", "window_end", "first_seen", "last_seen")
    related = _sorted([identities[name] for name in row["related_anomalies"]])
    root = identities[row["root_anomaly_id"]] if row["root_anomaly_id"] else None
    samples = sorted(row["sample_events"]) if row["count"] <= ALL_SAMPLES_KEPT else len(row["sample_events"]) > 0
    return [*(row[name] for name in names), *(_moment(run, row[name]) for name in times), related, root, samples]


def _alerts(stack: Stack, run: Run, identities: dict[str, tuple[Any, ...]]) -> tuple[list[Any], list[Any]]:
    alerts, by_id = [], {}
    for row in _table(stack, "alerts", run):
        key = AlertKey.from_text(row["group_key"])
        starts = to_rfc3339(run.base_ms + (_moment(run, row["starts_at"]) or 0))
        assert row["alert_id"] == alert_id(row["tenant_id"], row["definition_id"], key.group_text(), starts), f"alert id of {row}"
        natural = [run.original(row["tenant_id"]), row["definition_id"], key.group_text(), _moment(run, row["starts_at"])]
        by_id[row["alert_id"]] = natural
        members = _sorted([identities[name] for name in row["anomaly_ids"]])
        figures = [row[name] for name in ("status", "severity", "count", "receivers")]
        alerts.append([*natural, *figures, _moment(run, row["ends_at"]), _moment(run, row["last_seen"]), members])
    notified = []
    for row in _table(stack, "notifications", run):
        expected = notification_id(row["alert_id"], row["receiver"], row["sequence"])
        assert row["notification_id"] == expected, f"notification id of {row}"
        notified.append([*by_id[row["alert_id"]], *(row[name] for name in ("receiver", "receiver_type", "sequence", "status", "severity"))])
    return _sorted(alerts), _sorted(notified)


def _rollups(stack: Stack, run: Run) -> list[Any]:
    rows = []
    for row in _table(stack, "rollups_1m", run):
        times = {"window_start": _moment(run, row["window_start"]), "tenant_id": run.original(row["tenant_id"])}
        rows.append(sorted((row | times).items()))
    return _sorted(rows)


def _counters(stack: Stack, run: Run) -> list[Any]:
    rows = stack.rows("SELECT tenant_id, minute, kind, events FROM sentinel.ingest_counters WHERE tenant_id LIKE %s", f"{run.name}.%")
    return _sorted([[run.original(tenant), run.offset(minute), kind, events] for tenant, minute, kind, events in rows])


def _newest(
    stored: list[Stored], run: Run, key: Callable[[dict[str, Any]], Any], rank: Callable[[dict[str, Any]], Any]
) -> dict[Any, dict[str, Any]]:
    """Deduplicated by key: of each the record of the highest rank, the last one of equals."""
    newest: dict[Any, dict[str, Any]] = {}
    for one in stored:
        found = one.json()
        if run.owns(found.get("tenant_id")) and (key(found) not in newest or rank(found) >= rank(newest[key(found)])):
            newest[key(found)] = found
    return newest


def _anomaly_records(stack: Stack, run: Run, identities: dict[str, tuple[Any, ...]]) -> list[Any]:
    # A first finding may be written again behind an update by a replay: the fuller record counts.
    newest = _newest(stack.topic("llm-anomalies"), run, lambda a: a["anomaly_id"], lambda a: (a["count"], a["last_seen"], a["update"]))
    unknown = newest.keys() - identities.keys()
    assert not unknown, f"anomalies on the topic that Postgres lacks: {[newest[name] for name in sorted(unknown)][:3]}"
    return _sorted(
        [
            [*identities[name], a["count"], a["severity"], run.offset(a["first_seen"]), run.offset(a["last_seen"])]
            for name, a in newest.items()
        ]
    )


def _alert_records(stack: Stack, run: Run) -> list[Any]:
    newest = _newest(stack.topic("llm-alerts"), run, lambda a: a["alert_id"], lambda a: a["count"])
    rows = [
        [run.original(a["tenant_id"]), a["definition_id"], a["labels"].get("application_id"), a["labels"].get("detector_id")]
        for a in newest.values()
    ]
    figures = [[a["status"], a["severity"], a["count"], run.offset(a["starts_at"]), run.offset(a["last_seen"])] for a in newest.values()]
    return _sorted([row + more for row, more in zip(rows, figures, strict=True)])


def _told(stack: Stack, run: Run, receiver: str) -> list[Any]:
    newest = _newest(stack.topic(f"notify-{receiver}"), run, lambda n: n["notification_id"], lambda n: 0)
    return _sorted(
        [
            [run.original(n["tenant_id"]), n["group_labels"], n["receiver"], n["sequence"], n["status"], n["severity"]]
            for n in newest.values()
        ]
    )


def _ordered(stack: Stack, run: Run, identities: dict[str, tuple[Any, ...]]) -> list[Any]:
    """A row for each detector of an application: its orders to Shield, once each and in order."""
    rows = []
    for (tenant, application, detector), found in once_in_order(orders(stack, f"{run.name}.")).items():
        asked = [[(kind, run.original(target)) for _, kind, target in order.actions] for order in found]
        named = [identities[order.anomaly_id] for order in found]
        rows.append([run.original(tenant), application, detector, list(zip(named, asked, strict=True))])
    return _sorted(rows)


def _rollup_records(stack: Stack, run: Run) -> list[Any]:
    newest = {}
    for stored in stack.topic("llm-rollups"):
        found = stored.json()
        place = found["dimensions"]
        if run.owns(place["tenant_id"]):
            key = (
                run.original(place["tenant_id"]),
                place["application_id"],
                place["model"],
                found["metric_name"],
                run.offset(found["timestamp"]),
            )
            newest[key] = found["value"]
    return _sorted([[*key, value] for key, value in newest.items()])


def _dead_letters(stack: Stack, run: Run) -> list[Any]:
    newest = _newest(stack.topic("llm-telemetry-dlq"), run, lambda letter: letter["dlq_id"], lambda _: 0)
    return _sorted(
        [[run.original(x["tenant_id"]), run.offset(x["record_timestamp"]), x["path"], x["original_bytes"]] for x in newest.values()]
    )


def _sorted(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: json.dumps(row, default=str))
