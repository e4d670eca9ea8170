"""Section `ingestion.normalisation`: events that are not in the canonical form."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sentinel.config.types import ConfigModel, Name

OutOfRange = Literal["dlq", "clamp"]


class Normalisation(ConfigModel):
    """Other names of fields, units and times are understood where an event would be refused otherwise."""

    enabled: bool = True
    applications: dict[str, Name] = Field(default={}, description="Application → tenant, for events that name no tenant")
    timestamps: OutOfRange = Field(
        default="dlq",
        description="An event's own time more than 7 d in the past or 5 min in the future: a dead letter, or the nearest time allowed",
    )
