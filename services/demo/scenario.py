"""The parameters of the demonstration, read from plan.yaml and demo-config.yaml beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from services.traffic.generator import TrafficSettings
from services.traffic.plan import InjectionPlan, parse_plan

FOLDER = Path(__file__).parent
PLAN_FILE = FOLDER / "plan.yaml"
CONFIG_FILE = FOLDER / "demo-config.yaml"


class _Traffic(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seed: int
    rate: float = Field(gt=0)
    tenants: int = Field(ge=1)
    applications: int = Field(ge=1)
    models: int = Field(ge=1)
    users: int = Field(ge=1)


class _Timing(BaseModel):
    """Seconds. `grace`: how long after a trouble its alerts may still come; `settle`: watched at least so long after the last one."""

    model_config = ConfigDict(extra="forbid")

    grace: float = Field(ge=0)
    settle: float = Field(ge=0)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    traffic: _Traffic
    timing: _Timing
    injections: list[dict[str, Any]]


@dataclass(frozen=True)
class Scenario:
    """Traffic, trouble and timing of one demonstration."""

    traffic: TrafficSettings
    plan: InjectionPlan
    grace_ms: int
    settle_ms: int


def load_scenario(path: Path = PLAN_FILE) -> Scenario:
    """Read the plan of the demonstration. Raises PlanError or pydantic.ValidationError naming the key."""
    content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    plan = parse_plan({"seed": content.traffic.seed, "injections": content.injections}, str(path))
    # The rhythm of the day is off: the demonstration looks the same at noon and at night.
    traffic = TrafficSettings(rhythm=False, **content.traffic.model_dump())
    return Scenario(traffic, plan, round(content.timing.grace * 1000), round(content.timing.settle * 1000))


def write_config(target: Path, *, webhook_url: str, smtp_port: int, template: Path = CONFIG_FILE) -> None:
    """Write the demonstration's configuration with the addresses of its own receivers filled in."""
    config = yaml.safe_load(template.read_text(encoding="utf-8"))
    for receiver in config["alerting"]["receivers"]:
        if receiver["type"] == "webhook":
            receiver["config"]["url"] = webhook_url
        elif receiver["type"] == "email":
            receiver["config"]["smarthost"] = f"127.0.0.1:{smtp_port}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
