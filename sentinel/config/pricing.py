"""Section `ingestion.pricing`: costs of events that name none."""

from __future__ import annotations

from pydantic import Field

from sentinel.config.types import ConfigModel


class ModelPrice(ConfigModel):
    """Price of a model in US dollars per million tokens."""

    input_usd_per_million: float = Field(ge=0)
    output_usd_per_million: float = Field(ge=0)


class Pricing(ConfigModel):
    """A cost is computed where an event names none, or 0 with tokens; from these prices, else from the bundled table."""

    enabled: bool = True
    models: dict[str, ModelPrice] = Field(default={}, description="Prices by model; a name may hold *")
    aliases: dict[str, str] = Field(default={}, description="Other names of models: name as sent → name as known")
