"""Who is told when nobody reacts, names for several receivers, and the damping of alerts that come and go."""

from __future__ import annotations

from pydantic import Field

from sentinel.config.routes import Names
from sentinel.config.types import ConfigModel, Duration, Name, PositiveDuration


class EscalationStepSettings(ConfigModel):
    """After `after` since the step before (the first: since the first message) these receivers are told too."""

    after: Duration
    receivers: Names = Field(min_length=1)


class EscalationSettings(ConfigModel):
    """Steps until somebody acknowledges or it is over; then another policy (`then`), and all of it `repeat` times more."""

    name: Name
    steps: list[EscalationStepSettings] = Field(min_length=1, max_length=50)
    repeat: int = Field(default=0, ge=0, le=100)
    then: str | None = Field(default=None, description="Policy whose steps follow the last step")


class ReceiverGroupSettings(ConfigModel):
    """One name for several receivers; without any, alerts that are sent there are recorded and nobody is told."""

    name: str = Field(min_length=1, max_length=200)
    receivers: list[Name] = Field(default=[])


class FlapSettings(ConfigModel):
    """An alert that ended `changes` times within `window` counts as firing until it was quiet for `hold`; 0: off."""

    changes: int = Field(default=0, ge=0, le=1000)
    window: PositiveDuration = 600.0
    hold: PositiveDuration = 600.0
