"""Who produces the traffic: tenants, applications, models with prices, users and the rhythm of the day.

Names depend on the index only, so that plans can use them whatever the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A modelled LLM. Prices in USD per million tokens; latency and token figures are medians of lognormal distributions."""

    name: str
    input_usd_per_m: float
    output_usd_per_m: float
    latency_ms: float
    prompt_tokens: float
    completion_tokens: float
    ms_per_token: float

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of one call in USD, rounded to 1e-9."""
        return round((prompt_tokens * self.input_usd_per_m + completion_tokens * self.output_usd_per_m) / 1e6, 9)


# Invented models with an invented price list: real lists change, and nothing here should look like a statement about a vendor.
BASE_MODELS = (
    Model("aurora-large", 5.0, 15.0, 1400.0, 420.0, 180.0, 7.0),
    Model("aurora-mini", 0.4, 1.6, 450.0, 300.0, 120.0, 3.0),
    Model("borealis-chat", 2.5, 10.0, 900.0, 350.0, 160.0, 5.0),
    Model("cedar-code", 3.0, 12.0, 1100.0, 800.0, 220.0, 4.5),
    Model("delta-reason", 12.0, 48.0, 3200.0, 600.0, 500.0, 6.0),
    Model("ember-small", 0.2, 0.8, 280.0, 220.0, 90.0, 2.0),
)
BASE_TENANTS = ("acme-corp", "northwind-bank", "helio-health", "quanta-retail")
# (application, domain of its prompts)
BASE_APPLICATIONS = (
    ("support-chat", "support"),
    ("fraud-desk", "finance"),
    ("clinic-notes", "health"),
    ("shop-search", "retail"),
    ("code-assistant", "code"),
    ("market-digest", "finance"),
    ("patient-faq", "health"),
    ("product-writer", "retail"),
    ("hr-helpdesk", "people"),
    ("contract-review", "legal"),
    ("it-runbook", "code"),
    ("travel-planner", "travel"),
)
ENVIRONMENTS = ("prod", "prod", "prod", "prod", "prod", "staging", "prod", "prod", "prod", "prod", "dev", "prod")
REGIONS = ("us-east-1", "eu-central-1", "eu-west-3", "ap-southeast-2")
APPLICATION_ZIPF = 0.5
USER_ZIPF = 0.9


@dataclass(frozen=True)
class Application:
    """One application of one tenant. `share` = its part of all calls; `scale` multiplies latency and tokens of its models."""

    tenant_id: str
    application_id: str
    domain: str
    environment: str
    region: str
    models: tuple[int, ...]
    share: float
    scale: float

    def user_id(self, rank: int) -> str:
        """The user of that rank, 0 = the most active one."""
        return f"{self.application_id}-user-{rank + 1:03d}"


@dataclass(frozen=True)
class World:
    """Everything that stays the same during one run."""

    models: tuple[Model, ...]
    applications: tuple[Application, ...]
    users: int

    def application_shares(self) -> Floats:
        return np.array([a.share for a in self.applications])

    def user_shares(self) -> Floats:
        return zipf_shares(self.users, USER_ZIPF)

    def known_applications(self) -> list[str]:
        """`tenant/application` of all, for messages."""
        return [f"{a.tenant_id}/{a.application_id}" for a in self.applications]


def zipf_shares(count: int, exponent: float) -> Floats:
    """Shares proportional to 1/rank^exponent that sum to 1."""
    weights = 1.0 / np.arange(1, count + 1, dtype=np.float64) ** exponent
    return np.asarray(weights / weights.sum())


def tenant_name(index: int) -> str:
    """Name of a tenant by index."""
    return BASE_TENANTS[index] if index < len(BASE_TENANTS) else f"tenant-{index + 1:04d}"


def application_name(index: int) -> tuple[str, str]:
    """(application_id, prompt domain) by index; from the 13th on the names are numbered."""
    base, domain = BASE_APPLICATIONS[index % len(BASE_APPLICATIONS)]
    turn = index // len(BASE_APPLICATIONS)
    return (base, domain) if turn == 0 else (f"{base}-{turn + 1}", domain)


def model_catalogue(count: int) -> tuple[Model, ...]:
    """The first `count` models; beyond the table they are numbered copies."""
    result = []
    for index in range(count):
        base = BASE_MODELS[index % len(BASE_MODELS)]
        turn = index // len(BASE_MODELS)
        result.append(base if turn == 0 else Model(f"{base.name}-{turn + 1}", *list(base.__dict__.values())[1:]))
    return tuple(result)


def build_world(seed: int, *, tenants: int = 4, applications: int = 12, models: int = 4, users: int = 40, keys: int | None = None) -> World:
    """Draw shares and model choices from the seed.

    `applications` counts all of them (spread over the tenants in turn), `users` those of each application. With `keys` there are as
    many live tenant|application|model keys: every application uses all `models` and `applications` follows. Raises ValueError for
    counts below 1.
    """
    for name, value in (("tenants", tenants), ("applications", applications), ("models", models), ("users", users), ("keys", keys)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected a count of at least 1, found {value}")
    if keys is not None:
        models = min(models, keys)
        applications = math.ceil(keys / models)
    rng = np.random.default_rng([seed, 1])
    shares = rng.permutation(zipf_shares(applications, APPLICATION_ZIPF))
    scales = rng.uniform(0.75, 1.35, applications)
    built = []
    for index in range(applications):
        name, domain = application_name(index)
        if keys is not None:
            chosen = tuple(range(models)) if index < applications - 1 else tuple(range(keys - models * (applications - 1)))
        else:
            chosen = tuple(sorted({index % models, int(rng.integers(0, models))}))
        tenant = index % tenants
        built.append(
            Application(
                tenant_name(tenant),
                name,
                domain,
                ENVIRONMENTS[index % len(ENVIRONMENTS)],
                REGIONS[tenant % len(REGIONS)],
                chosen,
                float(shares[index]),
                float(scales[index]),
            )
        )
    return World(model_catalogue(models), tuple(built), users)


def daily_rhythm(ts_ms: int) -> float:
    """Factor on the call rate at an event time (UTC): 0.55 at 03:00, 1.45 at 15:00, weekends 0.7 of that. A function of the time alone."""
    hours = ts_ms / 3_600_000.0
    factor = 1.0 + 0.45 * math.sin(2.0 * math.pi * ((hours % 24.0) - 9.0) / 24.0)
    weekday = int(hours // 24.0 + 3) % 7  # 1970-01-01 was a Thursday; Monday = 0
    return factor * (0.7 if weekday >= 5 else 1.0)
