"""Cost of a call from its model and tokens, offline.

Prices come from the configuration, else from the table that the package `genai-prices` carries along; nothing is fetched. A model without a price has an
unknown cost, never 0: a sum that misses a part must be seen to miss it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

import msgspec

from sentinel.memo import Memo

PREFIXES = frozenset(
    (
        "openai",
        "azure",
        "azure_ai",
        "anthropic",
        "bedrock",
        "vertex_ai",
        "gemini",
        "google",
        "models",
        "mistral",
        "groq",
        "cohere",
        "deepseek",
        "xai",
    )
)
"""Routers write the provider before the model: `openai/gpt-4o`."""
_MOST_MODELS = 50_000
_MILLION = 1_000_000


class OwnPrice(msgspec.Struct, frozen=True):
    """A price of the configuration, in USD per million tokens."""

    input_usd_per_million: float
    output_usd_per_million: float


class PricingSettings(msgspec.Struct, frozen=True):
    """Whether costs are computed; prices by model (with `*`), which go before the bundled table; other names of models."""

    enabled: bool = True
    models: Mapping[str, OwnPrice] = {}
    aliases: Mapping[str, str] = {}


class Cost(NamedTuple):
    """A computed cost. `usd` is None when it is unknown; `reason` says why. `source`: configuration, price_table or unknown."""

    usd: float | None
    source: str
    reason: str | None = None


class _Rates(NamedTuple):
    """USD a token; of the tiers `(from how many input tokens on, input, output)` the last one that applies counts for all tokens."""

    input_usd: float
    output_usd: float
    tiers: tuple[tuple[int, float, float], ...]
    source: str


class PriceTable:
    """Prices by model, looked up once each."""

    def __init__(self, settings: PricingSettings = PricingSettings()) -> None:  # noqa: B008 - immutable
        self.settings = settings
        self._rates: Memo[str, _Rates | None] = Memo(lambda model: self._own(model) or _bundled(model), _MOST_MODELS)
        self.canonical: Memo[str, str] = Memo(self._canonical, _MOST_MODELS)
        """The name under which a model is known: an alias of the configuration, else without the provider before it where the rest is known."""

    def cost(self, model: str | None, prompt_tokens: int | None, completion_tokens: int | None, total_tokens: int | None) -> Cost:
        """The cost of one call in USD, rounded to 1e-9."""
        if model is None:
            return Cost(None, "unknown", "the event names no model")
        if prompt_tokens is None and completion_tokens is not None and total_tokens is not None:
            prompt_tokens = max(total_tokens - completion_tokens, 0)
        elif completion_tokens is None and prompt_tokens is not None and total_tokens is not None:
            completion_tokens = max(total_tokens - prompt_tokens, 0)
        if prompt_tokens is None or completion_tokens is None:
            return Cost(None, "unknown", "the event does not name prompt and completion tokens")
        rates = self._rates[model]
        if rates is None:
            return Cost(None, "unknown", f"no price for model {model}")
        input_usd, output_usd, tiers, source = rates
        for start, tier_input, tier_output in tiers:
            if prompt_tokens > start:
                input_usd, output_usd = tier_input, tier_output
        return Cost(round(prompt_tokens * input_usd + completion_tokens * output_usd, 9), source)

    def _own(self, model: str) -> _Rates | None:
        models = self.settings.models
        price = models.get(model) or next(
            (price for pattern, price in models.items() if "*" in pattern and fnmatchcase(model, pattern)), None
        )
        if price is None:
            return None
        return _Rates(price.input_usd_per_million / _MILLION, price.output_usd_per_million / _MILLION, (), "configuration")

    def _canonical(self, model: str) -> str:
        alias = self.settings.aliases.get(model)
        if alias is not None:
            return alias
        prefix, slash, rest = model.partition("/")
        if slash and prefix.lower() in PREFIXES and rest and self._rates[rest] is not None:
            return self.settings.aliases.get(rest, rest)
        folded = model.strip().lower()
        return folded if folded != model and self._rates[folded] is not None else model


@cache
def _bundled(model: str) -> _Rates | None:
    """Rates of the package's table as of today. The table fits names loosely; it decides what a dated or suffixed name is."""
    # The package brings pydantic along: only a worker that meets an event without a cost loads it.
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model, None, None, None)
        prices = found.get_prices(datetime.now(UTC))
    except LookupError:
        return None
    sides: tuple[Any, Any] = (prices.input_mtok, prices.output_mtok)
    if any(side is None for side in sides):
        return None
    starts = sorted({tier.start for side in sides for tier in getattr(side, "tiers", ())})
    base, *tiers = ((start, *(float(_at(side, start + 1)) / _MILLION for side in sides)) for start in (-1, *starts))
    return _Rates(base[1], base[2], tuple(tiers), "price_table")


def _at(price: Any, input_tokens: int) -> Decimal:
    """A plain price, or that of the highest tier that so many tokens reach."""
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if input_tokens > tier.start), price.base)  # type: ignore[no-any-return]


def settings_from(snapshot: Mapping[str, Any]) -> PricingSettings:
    """The prices of a published configuration."""
    section = snapshot.get("ingestion", {}).get("pricing", {})
    models = {
        name: OwnPrice(price["inputUsdPerMillion"], price["outputUsdPerMillion"]) for name, price in section.get("models", {}).items()
    }
    return PricingSettings(section.get("enabled", True), models, section.get("aliases", {}))
