"""What PagerDuty and Slack publish about the messages that they take, as checks that raise."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from slack_sdk.models.blocks import Block

CONTRACT = next(
    (
        path
        for folder in Path(__file__).resolve().parents
        if (path := folder / "shared" / "contracts" / "pagerduty-events-v2.openapi.json").is_file()
    ),
    None,
)
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["routing_key", "event_action"],
    "properties": {
        "routing_key": {"type": "string", "minLength": 1},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": {"type": "string"},
        "client_url": {"type": "string"},
        "payload": {
            "type": "object",
            "additionalProperties": False,
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1_024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
        "links": {"type": "array", "items": {"type": "object", "required": ["href"]}},
        "images": {"type": "array", "items": {"type": "object", "required": ["src"]}},
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}
"""Events API v2 in our words, as its documentation states it; stricter than PagerDuty's document, which leaves unknown fields open."""


@cache
def _validator() -> jsonschema.Draft202012Validator:
    assert CONTRACT is not None
    document = json.loads(CONTRACT.read_text())
    schema = document["paths"]["/enqueue"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]})


def check_pagerduty(event: dict[str, Any]) -> None:
    """An event of Events API v2, against the schema above, and besides against PagerDuty's own document where it lies beside the checkout."""
    jsonschema.Draft202012Validator(EVENT_SCHEMA).validate(event)
    if CONTRACT is not None:
        _validator().validate(event)
    assert event["event_action"] == "trigger" or event["dedup_key"]
    assert len(event["dedup_key"]) <= 255
    assert len(event["payload"]["summary"]) <= 1_024
    assert len(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()) <= 512_000


def check_slack(message: dict[str, Any]) -> None:
    """The block models of Slack's own client refuse what is beyond a block's limits; the count of blocks is checked here."""
    assert 0 < len(message["blocks"]) <= 50
    assert message["text"]
    for given, block in zip(message["blocks"], Block.parse_all(message["blocks"]), strict=True):
        assert block is not None, f"unknown block {given['type']}"
        block.validate_json()
        block.to_dict()
        for text in (given.get("text"), *given.get("fields", []), *given.get("elements", [])):
            assert text is None or len(text.get("text", "")) <= 3_000
        assert len(given.get("fields", [])) <= 10
        assert all(0 < len(field["text"]) <= 2_000 for field in given.get("fields", []))
