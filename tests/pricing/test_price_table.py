"""Costs from prices: the configuration's, the bundled table's, and none rather than 0."""

from __future__ import annotations

import pytest
from genai_prices import Usage, calc_price

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.pricing.table import Cost, OwnPrice, PriceTable, PricingSettings, settings_from

TABLE = PriceTable()


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-3.5-turbo", "claude-sonnet-4-5", "gemini-1.5-pro"])
@pytest.mark.parametrize("prompt_tokens", [0, 1, 1_000, 200_000, 200_001, 900_000])
def test_as_the_library_computes_it(model: str, prompt_tokens: int) -> None:
    expected = calc_price(Usage(input_tokens=prompt_tokens, output_tokens=500), model).total_price
    assert TABLE.cost(model, prompt_tokens, 500, None) == (pytest.approx(float(expected), abs=1e-9), "price_table", None)


def test_unknown_is_not_free() -> None:
    assert TABLE.cost("aurora-mini", 100, 50, None) == Cost(None, "unknown", "no price for model aurora-mini")
    assert TABLE.cost(None, 100, 50, None) == Cost(None, "unknown", "the event names no model")
    assert TABLE.cost("gpt-4o", None, None, 150) == Cost(None, "unknown", "the event does not name prompt and completion tokens")


def test_the_part_that_a_total_implies() -> None:
    whole = TABLE.cost("gpt-4o", 100, 50, None)
    assert TABLE.cost("gpt-4o", None, 50, 150) == TABLE.cost("gpt-4o", 100, None, 150) == whole


def test_prices_of_the_configuration_go_first() -> None:
    text = """
    ingestion:
      pricing:
        models: {gpt-4o: {inputUsdPerMillion: 1, outputUsdPerMillion: 2}, "aurora-*": {inputUsdPerMillion: 5, outputUsdPerMillion: 15}}
        aliases: {chat-prod: gpt-4o}
    """
    settings = settings_from(parse_config(text, "c.yaml").config.to_snapshot())
    assert settings == PricingSettings(models={"gpt-4o": OwnPrice(1, 2), "aurora-*": OwnPrice(5, 15)}, aliases={"chat-prod": "gpt-4o"})
    table = PriceTable(settings)
    assert table.cost("gpt-4o", 1_000_000, 1_000_000, None) == Cost(3.0, "configuration")
    assert table.cost("aurora-mini", 1_000_000, 0, None) == Cost(5.0, "configuration")
    assert table.canonical["chat-prod"] == "gpt-4o"


def test_names_of_models() -> None:
    assert [TABLE.canonical[name] for name in ("openai/gpt-4o", "GPT-4o", "gpt-4o")] == ["gpt-4o"] * 3
    # What is not known stays as it is.
    assert [TABLE.canonical[name] for name in ("openai/nope", "My-Model", "team/gpt-4o")] == ["openai/nope", "My-Model", "team/gpt-4o"]


def test_a_wrong_price_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"ingestion.pricing.models.a.inputUsdPerMilion: expected a known key; did you mean inputUsdPerMillion\?"
    ):
        parse_config("ingestion: {pricing: {models: {a: {inputUsdPerMilion: 1, outputUsdPerMillion: 2}}}}", "c.yaml")
