"""Write the JSON Schemas (draft-07, as in the specification) of the public contract: `python -m sentinel.contract.generate [FOLDER]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sentinel.config.model import SentinelConfig
from sentinel.contract.alert_definition import AlertDefinition
from sentinel.contract.anomaly import AnomalyEvent
from sentinel.contract.metrics_aggregation import MetricsAggregation
from sentinel.contract.telemetry import TelemetryEvent

SCHEMAS: dict[str, type[BaseModel]] = {
    "telemetry-event": TelemetryEvent,
    "anomaly-event": AnomalyEvent,
    "alert-definition": AlertDefinition,
    "sentinel-config": SentinelConfig,
    "metrics-aggregation": MetricsAggregation,
}
"""File name (without `.schema.json`) and model of every schema."""

FOLDER = Path(__file__).parents[2] / "schemas" / "json"


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The draft-07 JSON Schema of a model."""
    schema = model.model_json_schema(ref_template="#/definitions/{model}", mode="validation")
    definitions = schema.pop("$defs", None)
    result = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
    if definitions:
        result["definitions"] = definitions
    return result


def rendered() -> dict[str, str]:
    """Text of every schema file by file name."""
    return {f"{name}.schema.json": json.dumps(json_schema(model), indent=2, ensure_ascii=False) + "\n" for name, model in SCHEMAS.items()}


def main(folder: Path = FOLDER) -> None:
    """Write all schema files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
