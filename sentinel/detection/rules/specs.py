"""Rule settings as workers read them (`DetectorConfig.params` of strategies `aggregation`, `composite` and `cep`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from sentinel.config.runtime import DetectorConfig

SpecT = TypeVar("SpecT")


class EventSpec(msgspec.Struct, frozen=True):
    """A condition on one event; what is absent says nothing."""

    type: str | list[str] | None = None
    model: str | None = None
    status: str | None = None
    error_type: str | None = None
    user: str | None = None
    tags: dict[str, str] | None = None
    metric: str | None = None
    condition: str = "greater_than"
    value: float | None = None
    pattern: str | None = None
    field: str = "prompt"
    all: list[EventSpec] = []
    any: list[EventSpec] = []
    negated: EventSpec | None = msgspec.field(default=None, name="not")


class AggregateSpec(msgspec.Struct, frozen=True):
    """A number over a sliding window against a limit."""

    function: str | None = None
    metric: str | None = None
    percentile: float | None = None
    window_s: float = 60.0
    condition: str = "greater_than"
    value: float | None = None
    where: EventSpec | None = None
    minimum_events: int = 1
    by: str = "application"
    consecutive: int = 1
    every_s: float = 1.0
    repeat_s: float = 10.0

    @property
    def from_panes(self) -> bool:
        """Whether panes tell enough; else the hop makes partial aggregates for this rule."""
        if self.where is not None or self.by not in ("application", "model"):
            return False
        if self.function is None:
            return self.metric != "latency_p95_ms"
        return self.function in ("count", "avg", "sum", "max") and self.metric in PANE_METRICS


PANE_METRICS = (None, "latency_ms", "total_tokens", "cost_per_request", "is_error")
"""Metrics of single events whose count, sum and maximum stand in panes; None: all events."""


class NodeSpec(AggregateSpec, frozen=True):
    """A part of a composite."""

    all: list[NodeSpec] = []
    any: list[NodeSpec] = []
    negated: NodeSpec | None = msgspec.field(default=None, name="not")
    sequence: list[NodeSpec] = []
    detector: str | None = None
    within_s: float | None = None

    def nodes(self) -> Iterator[NodeSpec]:
        """This node and everything below it; the place in this order is the part number of a fact."""
        yield self
        for child in (*self.all, *self.any, *self.sequence, *((self.negated,) if self.negated else ())):
            yield from child.nodes()


class StepSpec(msgspec.Struct, frozen=True):
    """One step of a sequence."""

    event: str
    times: int = 1
    absent: bool = False


class CepSpec(msgspec.Struct, frozen=True):
    """Events of one key in order."""

    events: dict[str, EventSpec]
    sequence: list[StepSpec]
    within_s: float
    by: str = "application"
    repeat_s: float = 10.0


def aggregate_spec(config: DetectorConfig) -> AggregateSpec:
    """Raises ValueError naming the detector when its params are of another shape; so do the others."""
    return _convert(config, AggregateSpec)


def composite_spec(config: DetectorConfig) -> NodeSpec:
    """The root of the tree."""
    return _convert(config, NodeSpec)


def cep_spec(config: DetectorConfig) -> CepSpec:
    """The sequence."""
    return _convert(config, CepSpec)


def _convert(config: DetectorConfig, kind: type[SpecT]) -> SpecT:
    try:
        return msgspec.convert(config.params, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"detector {config.id!r}: {error}") from error
