"""The metrics that a detector may name: what each one means, its unit, and on what it is computed.

A metric can exist at several levels: ``latency_ms`` is a field of one event (per-event rules) and an average over a pane.
"""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["pane", "event", "user"]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: what a detector's ``config.metric`` says.
        unit: unit of the value; ``1`` for ratios and flags.
        levels: ``event`` = a field of one event, ``pane`` = computed over a window of an application and model,
            ``user`` = computed over the users of an application.
        meaning: one sentence for people.
        alias_of: the canonical metric that this name stands for, or None.
    """

    name: str
    unit: str
    levels: frozenset[Level]
    meaning: str
    alias_of: str | None = None


def _metric(name: str, unit: str, levels: tuple[Level, ...], meaning: str, alias_of: str | None = None) -> Metric:
    return Metric(name, unit, frozenset(levels), meaning, alias_of)


_ALL: Final = (
    _metric("latency_ms", "ms", ("event", "pane"), "Time a call took; over a pane its mean on the log scale"),
    _metric("latency_p95_ms", "ms", ("pane",), "95th percentile of the latency of calls"),
    _metric("error_rate", "1", ("pane",), "Share of calls that ended in an error or a timeout"),
    _metric("calls_per_second", "1/s", ("pane",), "Finished calls (responses and errors) per second"),
    _metric("requests_per_second", "1/s", ("pane",), "Another name of calls_per_second", alias_of="calls_per_second"),
    _metric("events_per_second", "1/s", ("pane",), "Telemetry events of any type per second"),
    _metric("prompts_per_second", "1/s", ("pane",), "Requests (prompts) per second"),
    _metric("tokens_per_second", "tokens/s", ("pane",), "Tokens of all calls per second"),
    _metric("tokens_per_request", "tokens", ("pane",), "Tokens of a call; over a pane their mean on the log scale"),
    _metric("cost_per_second", "USD/s", ("pane",), "Cost of all calls per second"),
    _metric("cost_per_request", "USD", ("event", "pane"), "Cost of one call; over a pane its mean on the log scale"),
    _metric("top_user_events", "events", ("user",), "Events of the most active user of an application in one user pane"),
    _metric("total_tokens", "tokens", ("event",), "Prompt and completion tokens of one call"),
    _metric("prompt_tokens", "tokens", ("event",), "Prompt tokens of one event"),
    _metric("completion_tokens", "tokens", ("event",), "Completion tokens of one call"),
    _metric("cost", "USD", ("event",), "Cost of one call", alias_of="cost_per_request"),
    _metric("prompt_length", "characters", ("event",), "Length of one prompt"),
    _metric("response_length", "characters", ("event",), "Length of one response"),
    _metric("is_error", "1", ("event",), "1 when one call ended in an error or a timeout, else 0"),
)

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}
"""Every metric by name."""


def canonical_metric(name: str) -> str:
    """The canonical name behind an alias (``requests_per_second`` is ``calls_per_second``).

    Raises:
        KeyError: when there is no such metric.
    """
    metric = METRICS[name]
    return metric.alias_of or metric.name


def metric_names(level: Level | None = None) -> list[str]:
    """Sorted metric names, all of them or those of one level."""
    return sorted(name for name, metric in METRICS.items() if level is None or level in metric.levels)
