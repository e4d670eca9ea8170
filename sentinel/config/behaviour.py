"""Settings of the behavioural strategies: profiles of users, what they reach for, and who uses what."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sentinel.config.types import ConfigModel, PositiveDuration, PositiveInt, Ratio

ProfileMetric = Literal["events", "tokens", "cost", "hours"]


class _UserParams(ConfigModel):
    """What the behavioural strategies share."""

    entity: Literal["user", "api_key"] = Field(
        default="user", description="Whom it watches: users (`metadata.user_id`) or API keys (`metadata.tags.api_key_id`)"
    )
    warmup: PositiveDuration = Field(default=86_400.0, description="How long somebody must be known before his own past is a measure")
    forget_after: PositiveDuration = Field(default=30 * 86_400.0, description="Who was quiet for so long is forgotten")
    max_users: int = Field(
        default=5_000, ge=1, le=50_000, description="Users kept per application; who was quiet longest is forgotten first"
    )
    repeat: PositiveDuration = Field(default=300.0, description="Least time between two detections about the same user")


class UserProfileParams(_UserParams):
    """Strategy `user_profile`: a user's minutes against his own past; who is new, against the minutes of the others."""

    warmup: PositiveDuration = Field(default=3_600.0, description="How long a user must be known before his own past is the measure")
    metrics: list[ProfileMetric] = Field(default=["events", "tokens", "cost", "hours"], min_length=1)
    min_minutes: PositiveInt = Field(default=10, description="Active minutes of the user, or of the peers, before the first judgement")
    threshold: float = Field(default=5.0, gt=0, description="Standard deviations of the logarithm")
    min_ratio: float = Field(default=3.0, ge=1, description="Smallest multiple of the usual that can be an anomaly")
    min_events: int = Field(default=30, ge=0, description="Events a minute below which nothing is said")
    min_tokens: int = Field(default=20_000, ge=0, description="Tokens a minute below which nothing is said of tokens")
    min_cost: float = Field(default=0.5, ge=0, description="USD a minute below which nothing is said of cost")
    min_days: PositiveInt = Field(default=5, description="Active days before an unusual hour of the day is one")
    adapt_after: PositiveDuration = Field(default=1_800.0, description="What lasts this long is the new usual")


class AccessPatternParams(_UserParams):
    """Strategy `access_pattern`: a user reaches for a model or comes from a region that he never did, or awakes with a burst."""

    watch: list[Literal["model", "region", "dormancy"]] = Field(default=["model", "region", "dormancy"], min_length=1)
    min_events: PositiveInt = Field(default=50, description="Events of the user before anything of his is new")
    peer_share: Ratio = Field(default=0.1, description="What this share of the users does is unusual for nobody")
    dormant_after: PositiveDuration = Field(default=14 * 86_400.0, description="So long a silence is dormancy")
    burst_events: PositiveInt = Field(default=20, description="Events in the first minute after dormancy that are a burst")


class EntityRelationshipParams(_UserParams):
    """Strategy `entity_relationship`: an application uses a model that it never did; a user spreads over models or applications, an application or an
    API key over users."""

    watch: list[Literal["new_model", "user_models", "application_users", "user_applications", "key_users"]] = Field(
        default=["new_model", "user_models", "application_users"], min_length=1
    )
    window: PositiveDuration = Field(default=600.0, ge=60, le=86_400, description="What fan-outs are counted over")
    min_models: PositiveInt = Field(default=5, description="Models of one user in the window below which nothing is said")
    min_users: PositiveInt = Field(
        default=50, description="Users of the application, or of one key, in the window below which nothing is said"
    )
    min_applications: PositiveInt = Field(default=5, description="Applications of one user in the window below which nothing is said")
    min_ratio: float = Field(default=3.0, ge=1, description="Smallest multiple of the usual that can be an anomaly")
    min_windows: PositiveInt = Field(default=6, description="Learned windows before the first judgement of the application's users")

    @model_validator(mode="after")
    def _keys_apart(self) -> Self:
        if "key_users" in self.watch and (self.entity != "api_key" or self.watch != ["key_users"]):
            raise ValueError(
                "expected entity: api_key and nothing else in watch beside key_users: what else is watched takes a detector of its own"
            )
        return self
