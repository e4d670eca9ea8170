"""Input topics as they are written in the settings."""

from __future__ import annotations

import pytest

from jobs.stages.sources import topic_names


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("llm-telemetry", ("llm-telemetry",)),
        ("llm-telemetry;llm-metrics", ("llm-telemetry", "llm-metrics")),
        (" llm-telemetry ; llm-metrics;", ("llm-telemetry", "llm-metrics")),
        ("a;b;a", ("a", "b")),
    ],
)
def test_blanks_and_repeats_are_no_topics(written: str, names: tuple[str, ...]) -> None:
    assert topic_names(written) == names
