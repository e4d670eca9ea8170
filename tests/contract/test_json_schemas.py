"""The generated JSON Schemas are current, and judge records as the models do."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError

from sentinel.config.canonical import canonical, canonical_keys
from sentinel.config.document import read_document
from sentinel.config.load import default_config
from sentinel.config.model import SentinelConfig
from sentinel.contract.generate import FOLDER, SCHEMAS, rendered
from sentinel.events.decode import decode_batch
from sentinel.timestamps import from_rfc3339

EXAMPLES = Path(__file__).parent / "examples"
RECORDS = {
    "telemetry-event": "telemetry-response.json",
    "anomaly-event": "anomaly-token-rate-spike.json",
    "alert-definition": "alert-critical-anomalies.json",
    "metrics-aggregation": "metrics-detector-latency.json",
}
TELEMETRY_DATA: dict[str, dict[str, Any]] = {
    "llm.request": {"model": "gpt-4", "prompt": "hello", "parameters": {"temperature": 0.5, "max_tokens": 10}, "own": {"key": 1}},
    "llm.response": {"status": "timeout", "latency_ms": 5, "model": "gpt-4", "prompt_tokens": 3.0},
    "llm.error": {"error_type": "rate_limit", "status_code": 429, "retryable": True},
    "llm.metric": {"metric_name": "queue_depth", "value": -1.5, "dimensions": {"region": "eu"}},
    "llm.trace": {"trace_id": "t", "span_id": "s", "name": "retrieve", "duration_ms": 12.5},
}
VALUES: list[Any] = [
    None,
    "",
    "text",
    "5m",
    -1,
    0,
    1,
    2.0,
    1.5,
    1e308,
    True,
    [],
    ["a"],
    [1],
    {},
    {"a": "b"},
    {"a": 1},
    "2025-02-30T00:00:00Z",
]


@cache
def _validator(name: str) -> Draft7Validator:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8"))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def _by_model(name: str, record: Any) -> bool:
    try:
        SCHEMAS[name].model_validate(record)
    except ValidationError:
        return False
    return True


def _example(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((EXAMPLES / RECORDS[name]).read_text("utf-8"))
    return record


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    for key, item in items:
        found += _paths(item, (*path, key))
    return found


def _records(name: str) -> list[dict[str, Any]]:
    records = [_example(name)]
    if name == "telemetry-event":
        records += [{**records[0], "event_type": kind, "data": data} for kind, data in TELEMETRY_DATA.items()]
    return records


def test_files_are_current() -> None:
    assert {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")} == rendered(), "run: python -m sentinel.contract.generate"


@pytest.mark.parametrize("name", RECORDS)
def test_examples_are_accepted(name: str) -> None:
    for record in _records(name):
        assert [error.message for error in _validator(name).iter_errors(record)] == []
        SCHEMAS[name].model_validate(record)


@pytest.mark.parametrize("name", RECORDS)
def test_schema_and_model_judge_alike(name: str) -> None:
    """Every place of every record is removed, and replaced by values of every kind: both say the same each time."""
    accepted = refused = 0
    for number, record in enumerate(_records(name)):
        # The further records differ in their payload alone.
        for path in [path for path in _paths(record) if number == 0 or path[0] == "data"]:
            for value in [..., *VALUES]:
                changed: Any = deepcopy(record)
                parent: Any = changed
                for step in path[:-1]:
                    parent = parent[step]
                if value is ...:
                    del parent[path[-1]]
                else:
                    parent[path[-1]] = value
                verdict = _validator(name).is_valid(changed)
                assert verdict == _by_model(name, changed), (path, value, verdict)
                accepted, refused = accepted + verdict, refused + (not verdict)
    assert accepted > 50 and refused > 50


def test_decoder_takes_what_the_contract_takes() -> None:
    for kind, data in TELEMETRY_DATA.items():
        record = {**_example("telemetry-event"), "event_type": kind, "data": {**data, "prompt_tokens": 3}}
        time_ms = from_rfc3339(record["timestamp"])
        decoded = decode_batch([json.dumps(record).encode()], [time_ms], datetime.fromtimestamp(time_ms / 1000, UTC))
        assert len(decoded.events) == 1, decoded.rejects


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("config-*.yaml")), ids=lambda path: path.name)
def test_config_schema_accepts_canonical_examples(path: Path) -> None:
    """The schema describes the canonical form; before-validators of the models take the other forms."""
    document = canonical_keys(canonical(read_document(path.read_text("utf-8"))).document, SentinelConfig)
    other_forms = {
        "config-ingestion.yaml",
        "config-standalone.yaml",
        "config-leader-election.yaml",
        "config-sidecar.yaml",
        "config-shield-action.yaml",
    }
    errors = [error.message for error in _validator("sentinel-config").iter_errors(document)]
    assert bool(errors) == (path.name in other_forms), errors


def test_config_schema_accepts_what_is_published() -> None:
    assert [error.message for error in _validator("sentinel-config").iter_errors(default_config().config.to_snapshot())] == []


def test_config_schema_refuses_unknown_keys() -> None:
    assert not _validator("sentinel-config").is_valid({"detection": {"worker": 3}})
