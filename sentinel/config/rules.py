"""Settings of the rule strategies: conditions on single events, windowed aggregates, composites of them, and sequences of events."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentinel.config.types import ConfigModel, MetricName, Name, PositiveDuration, PositiveInt, Regex
from sentinel.metrics_vocabulary import METRICS, metric_names

MAX_WINDOW_S: Final = 86_400.0
MAX_DEPTH: Final = 6
MAX_PARTS: Final = 20
MAX_STEPS: Final = 16
MAX_TIMES: Final = 1_000
_SYMBOLS: Final = {
    ">": "greater_than",
    ">=": "greater_than_or_equal",
    "<": "less_than",
    "<=": "less_than_or_equal",
    "==": "equal",
    "!=": "not_equal",
}
Comparison = Literal["greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal", "equal", "not_equal"]
Condition = Annotated[Comparison, BeforeValidator(lambda value: _SYMBOLS.get(value, value) if isinstance(value, str) else value)]
"""How an observed value is compared; the symbols `>`, `>=`, `<`, `<=`, `==`, `!=` are accepted too."""
Function = Literal["count", "avg", "sum", "max", "min", "percentile"]
By = Literal["application", "model", "user", "session", "trace"]
EventType = Literal["llm.request", "llm.response", "llm.error", "llm.metric", "llm.trace"]
Glob = Annotated[str, Field(min_length=1, max_length=256)]


def check_level(metric: str, level: Literal["event", "pane"]) -> str:
    """The metric, when it exists at the level.

    Raises:
        PydanticCustomError: with the names that do.
    """
    if level not in METRICS[metric].levels:
        what = "expected a metric of single events" if level == "event" else "expected a metric that windows have, or a function beside it"
        raise PydanticCustomError("unknown_name", what, {"valid": metric_names(level)})
    return metric


class EventCondition(ConfigModel):
    """A condition on one event; several keys must all hold. Globs know `*` and `?`."""

    type: list[EventType] | EventType | None = None
    model: Glob | None = None
    status: Glob | None = None
    error_type: Glob | None = None
    user: Glob | None = None
    tags: dict[str, Glob] | None = Field(default=None, max_length=10, description="metadata.tags that must match")
    metric: MetricName | None = None
    condition: Condition = "greater_than"
    value: float | None = None
    pattern: Regex | None = None
    field: Literal["prompt", "response", "message"] = "prompt"
    all: list[EventCondition] = Field(default=[], max_length=MAX_PARTS)
    any: list[EventCondition] = Field(default=[], max_length=MAX_PARTS)
    not_: EventCondition | None = Field(default=None, alias="not")

    @field_validator("metric")
    @classmethod
    def _event_metric(cls, metric: str | None) -> str | None:
        return None if metric is None else check_level(metric, "event")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.metric is None) != (self.value is None):
            raise ValueError("expected metric and value together")
        said = (self.type, self.model, self.status, self.error_type, self.user, self.tags, self.metric, self.pattern, self.not_)
        if all(part is None for part in said) and not self.all and not self.any:
            raise ValueError("expected at least one of type, model, status, errorType, user, tags, metric, pattern, all, any, not")
        return self


class Aggregate(ConfigModel):
    """A number over a sliding window against a limit: a function of single events, or a metric that windows have by themselves."""

    function: Function | None = Field(default=None, description="Over the events of the window; without it the metric is the window's own")
    metric: MetricName | None = Field(default=None, validate_default=True)
    percentile: float | None = Field(default=None, gt=0, lt=100, description="For function percentile")
    window: PositiveDuration = Field(default=60.0, le=MAX_WINDOW_S)
    condition: Condition = "greater_than"
    value: float | None = None
    where: EventCondition | None = Field(default=None, description="Only events that this holds for")
    minimum_events: int = Field(default=1, ge=0, description="Values that the window must hold to be judged")

    @field_validator("metric")
    @classmethod
    def _metric_at_level(cls, metric: str | None, info: ValidationInfo) -> str | None:
        if metric is None:
            return None
        return check_level(metric, "pane" if info.data.get("function") is None else "event")

    def check_aggregate(self) -> None:
        """Raises ValueError for parts that do not go together."""
        if self.value is None:
            raise ValueError("expected a value: the limit")
        if self.metric is None and self.function != "count":
            raise ValueError("expected a metric; only function count goes without")
        if (self.percentile is not None) != (self.function == "percentile"):
            raise ValueError("expected percentile beside function percentile, and only there")
        if self.where is not None and self.function is None:
            raise ValueError("expected a function beside where: a window's own metric knows no single events")


class AggregationParams(Aggregate):
    """Strategy `aggregation`: one aggregate by key. Judged each second that brings events."""

    by: By = Field(default="application", description="What each has a window of its own")
    consecutive: PositiveInt = Field(default=1, description="Judgements in a row beyond the limit, each at least `every` after the last")
    every: PositiveDuration = Field(default=1.0, description="Least time between two judgements that count")
    repeat: PositiveDuration = Field(default=10.0, description="Least time between two detections of a lasting anomaly")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.check_aggregate()
        return self


class CompositeNode(Aggregate):
    """A part of a composite: exactly one of `all`, `any`, `not`, `sequence`, `detector`, or an aggregate with its `value`."""

    all: list[CompositeNode] = Field(default=[], max_length=MAX_PARTS)
    any: list[CompositeNode] = Field(default=[], max_length=MAX_PARTS)
    not_: CompositeNode | None = Field(default=None, alias="not")
    sequence: list[CompositeNode] = Field(default=[], max_length=MAX_STEPS)
    detector: Name | None = Field(default=None, description="Holds while that detector found something within the last `within`")
    within: PositiveDuration | None = Field(default=None, le=MAX_WINDOW_S)

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = {
            "all": bool(self.all),
            "any": bool(self.any),
            "not": self.not_ is not None,
            "sequence": bool(self.sequence),
            "detector": self.detector is not None,
            "value": self.value is not None,
        }
        named = [name for name, is_given in given.items() if is_given]
        if len(named) != 1:
            raise ValueError(f"expected exactly one of all, any, not, sequence, detector, value; found {' and '.join(named) or 'none'}")
        if self.value is not None:
            self.check_aggregate()
        if self.sequence and (len(self.sequence) < 2 or self.within is None):
            raise ValueError("expected at least two parts of a sequence, and within beside them")
        return self

    def children(self) -> list[CompositeNode]:
        """The parts right below."""
        return [*self.all, *self.any, *self.sequence, *([self.not_] if self.not_ else [])]

    def nodes(self) -> Iterator[tuple[CompositeNode, int]]:
        """This node and everything below it, with depths."""
        waiting: list[tuple[CompositeNode, int]] = [(self, 1)]
        while waiting:
            node, depth = waiting.pop()
            yield node, depth
            waiting += [(child, depth + 1) for child in node.children()]


class CompositeParams(CompositeNode):
    """Strategy `composite`: a tree of conditions on one application, judged each second that brings events."""

    consecutive: PositiveInt = 1
    repeat: PositiveDuration = 10.0

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        nodes = list(self.nodes())
        if max(depth for _, depth in nodes) > MAX_DEPTH:
            raise ValueError(f"expected conditions at most {MAX_DEPTH} deep")
        if len(nodes) > 3 * MAX_PARTS:
            raise ValueError(f"expected at most {3 * MAX_PARTS} conditions, found {len(nodes)}")
        return self


class Step(ConfigModel):
    """One step of a sequence: an event by name, so many times; `absent` says that it must not come."""

    event: str
    times: int = Field(default=1, ge=1, le=MAX_TIMES)
    absent: bool = False


class CepParams(ConfigModel):
    """Strategy `cep`: events of one key in order, within a time; other events between them do not matter."""

    by: By = "application"
    events: dict[Name, EventCondition] = Field(min_length=1, max_length=16, description="Conditions by the names that the steps use")
    sequence: list[Annotated[Step, BeforeValidator(lambda step: {"event": step} if isinstance(step, str) else step)]] = Field(
        min_length=1, max_length=MAX_STEPS
    )
    within: PositiveDuration = Field(le=MAX_WINDOW_S, description="From the first event to the last, or to the end of the waiting")
    repeat: PositiveDuration = Field(default=10.0, description="Least time between two detections at one key")

    @field_validator("sequence")
    @classmethod
    def _known_events(cls, steps: list[Step], info: ValidationInfo) -> list[Step]:
        known = list(info.data.get("events", {}))
        for step in steps:
            if known and step.event not in known:
                raise PydanticCustomError("unknown_event", "expected events that are defined", {"found": step.event, "valid": known})
        positions = sum(step.times for step in steps)
        if positions > MAX_TIMES:
            raise ValueError(f"expected at most {MAX_TIMES} events in all, found {positions}")
        if steps[0].absent:
            raise ValueError("expected a first step that comes: absence is counted from an event")
        if any(first.absent and second.absent for first, second in pairwise(steps)):
            raise ValueError("expected an event between two absent ones")
        if any(step.absent and step.times > 1 for step in steps):
            raise ValueError("expected absent without times")
        if positions < 2:
            raise ValueError("expected at least two events, one of them at least twice, or an absence; strategy pattern judges single ones")
        return steps
