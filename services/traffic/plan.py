"""Injection plans: which trouble is put into a stream of traffic, where, when and how strong. YAML or JSON, unknown keys refused."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class PlanError(ValueError):
    """The plan cannot be used; the message names file, place, value and what was expected."""


class _Place(BaseModel):
    """Where and when. `at` and `duration` in seconds; `at` counts from the first event of the stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: float = Field(ge=0)
    duration: float = Field(gt=0)
    tenant: str = Field(min_length=1)
    application: str = Field(min_length=1)
    user: str | None = None

    def size(self) -> dict[str, float]:
        """The parameter that says how strong the trouble is, by its name."""
        return {name: float(getattr(self, name)) for name in ("factor", "share", "prompts") if hasattr(self, name)}


class LatencySpike(_Place):
    """Latency of every call multiplied by `factor`."""

    kind: Literal["latency_spike"]
    factor: float = Field(gt=0)


class ErrorBurst(_Place):
    """`share` (0..1] of the calls fail."""

    kind: Literal["error_burst"]
    share: float = Field(gt=0, le=1)


class CostRunaway(_Place):
    """Cost of every call multiplied by `factor`."""

    kind: Literal["cost_runaway"]
    factor: float = Field(gt=0)


class TokenExplosion(_Place):
    """Prompt, completion and total tokens of every call multiplied by `factor`; cost stays, so that the trouble is one of tokens only."""

    kind: Literal["token_explosion"]
    factor: float = Field(gt=0)


class PromptInjectionWave(_Place):
    """`prompts` calls with an attack as prompt are added, evenly spread over the time."""

    kind: Literal["prompt_injection_wave"]
    prompts: int = Field(ge=1)


class UserMisuse(_Place):
    """The rate of one user becomes `factor` times what it was; without `user`, of the most active user before the start."""

    kind: Literal["user_misuse"]
    factor: float = Field(gt=1)


class Silence(_Place):
    """No event at all from the application (or from one of its users)."""

    kind: Literal["silence"]


Injection = LatencySpike | ErrorBurst | CostRunaway | TokenExplosion | PromptInjectionWave | UserMisuse | Silence
KINDS: dict[str, type[_Place]] = {
    "latency_spike": LatencySpike,
    "error_burst": ErrorBurst,
    "cost_runaway": CostRunaway,
    "token_explosion": TokenExplosion,
    "prompt_injection_wave": PromptInjectionWave,
    "user_misuse": UserMisuse,
    "silence": Silence,
}


class InjectionPlan(BaseModel):
    """All trouble of one run. `seed` decides which calls of a burst fail, the wording of attacks and where copies lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 1
    injections: list[Annotated[Injection, Field(discriminator="kind")]] = Field(default_factory=list)


def load_plan(path: Path) -> InjectionPlan:
    """Read a plan. Raises PlanError naming file, place, value and the nearest valid name."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: cannot read the injection plan: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x} at offset {error.start}") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PlanError(f"{path}: expected YAML or JSON: {error}") from error
    if not isinstance(content, dict):
        raise PlanError(f"{path}: expected a mapping with `injections`, found {type(content).__name__}")
    return parse_plan(content, str(path))


def parse_plan(content: dict[str, Any], name: str) -> InjectionPlan:
    """Validate a plan that is already decoded; `name` stands in messages. Raises PlanError."""
    try:
        return InjectionPlan.model_validate(content)
    except ValidationError as error:
        lines = [_explain(content, dict(item)) for item in error.errors(include_url=False)]
        raise PlanError("\n".join(f"{name}: {line}" for line in lines)) from error


def _explain(content: dict[str, Any], item: dict[str, Any]) -> str:
    location = [part for part in item["loc"] if part not in KINDS]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if item["type"] == "extra_forbidden":
        model = next((KINDS[str(part)] for part in item["loc"] if part in KINDS), InjectionPlan)
        valid = list(model.model_fields)
        near = difflib.get_close_matches(str(location[-1]), valid, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{path} = {item['input']!r}: unknown key; expected one of {', '.join(valid)}{hint}"
    if item["type"].startswith("union_tag"):
        found = item["input"].get("kind") if isinstance(item["input"], dict) else item["input"]
        near = difflib.get_close_matches(str(found), KINDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{path}.kind = {found!r}: expected one of {', '.join(KINDS)}{hint}"
    found = "nothing" if item["type"] == "missing" else repr(item["input"])
    return f"{path}: {item['msg']}, found {found}"
