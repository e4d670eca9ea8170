"""Settings of the rules with memory: what is refused and in which words, and that the documented examples are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import RuntimeConfig
from sentinel.detection.engine import ShardEngine
from sentinel.detection.rules.engine import EventRules
from sentinel.metrics_vocabulary import METRICS

RULES_PAGE = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
EXAMPLES = [
    example
    for page in (RULES_PAGE, RULES_PAGE.with_name("behaviour.md"))
    for example in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_documented_rules_are_valid_and_can_be_built(text: str) -> None:
    loaded = parse_config(text, "rules.md")
    assert loaded.warnings == []
    config = RuntimeConfig.from_snapshot(1, loaded.config.to_snapshot())
    assert len(config.detectors) == len(loaded.config.detection.detectors.items)
    assert ShardEngine.from_state(None, config).detectors_refused == {}
    assert EventRules(config).unbuilt == []


@pytest.mark.parametrize(
    ("strategy", "config", "said"),
    [
        ("cep", "{events: {failed: {type: llm.error}}, sequence: [faild, failed], within: 30s}", 'config.sequence: .*did you mean failed'),
        ("cep", "{events: {failed: {typ: llm.error}}, sequence: [failed, failed], within: 30s}", "failed.typ: .*did you mean type"),
        ("cep", "{events: {a: {metric: latency_m, value: 3}}, sequence: [a, a], within: 30s}", "a.metric: .*did you mean latency_ms"),
        ("cep", "{events: {a: {metric: error_rate, value: 3}}, sequence: [a, a], within: 30s}", "a.metric: expected a metric of single events"),
        ("cep", '{events: {a: {pattern: "a(?=b)"}}, sequence: [a, a], within: 30s}', "a.pattern: .*RE2 can run"),
        ("cep", "{events: {a: {type: llm.eror}}, sequence: [a, a], within: 30s}", "a.type.*expected one of llm.request"),
        ("cep", "{events: {a: {}}, sequence: [a, a], within: 30s}", "expected at least one of type"),
        ("cep", "{events: {a: {type: llm.error}}, sequence: [a], within: 30s}", "expected at least two events"),
        ("cep", "{events: {a: {type: llm.error}}, sequence: [{event: a, absent: true}, a], within: 30s}", "expected a first step that comes"),
        ("cep", "{events: {a: {type: llm.error}}, sequence: [{event: a, times: 2000}], within: 30s}", "less than or equal to 1000"),
        ("cep", "{events: {a: {type: llm.error}}, sequence: [a, a], within: 30d}", "less than or equal to 86400"),
        ("aggregation", "{function: avg, metric: error_rate, value: 2}", "config.metric: expected a metric of single events"),
        ("aggregation", "{metric: total_tokens, value: 2}", "config.metric: expected a metric that windows have, or a function"),
        ("aggregation", "{functio: avg, metric: latency_ms, value: 2}", "did you mean function"),
        ("aggregation", "{function: avg, value: 2}", "only function count goes without"),
        ("aggregation", "{function: avg, metric: latency_ms}", "expected a value"),
        ("aggregation", "{function: percentile, metric: latency_ms, value: 1}", "expected percentile beside function percentile"),
        ("aggregation", "{metric: latency_ms, value: 1, where: {type: llm.error}}", "expected a function beside where"),
        ("composite", "{all: [{metric: error_rat, value: 2}]}", r"all\[0\].metric: .*did you mean error_rate"),
        ("composite", "{all: [{metric: latency_ms, value: 2, windo: 3}]}", r"all\[0\].windo: .*did you mean window"),
        ("composite", "{all: [{any: []}]}", "expected exactly one of all, any, not"),
        ("composite", "{sequence: [{metric: latency_ms, value: 2}], within: 3s}", "at least two parts of a sequence"),
        ("composite", "{all: [{detector: quiet-limt, within: 3s}]}", "did you mean quiet-limit"),
        ("composite", "{all: [{detector: silent, within: 3s}]}", "expected the id of a detector on events or panes"),
        ("user_profile", "{metrics: [token]}", "did you mean tokens"),
        ("access_pattern", "{watsh: [model]}", "did you mean watch"),
        ("entity_relationship", "{window: 1s}", "greater than or equal to 60"),
        ("composite", "{not: " * 7 + "{metric: latency_ms, value: 2}" + "}" * 7, "at most 6 deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(strategy: str, config: str, said: str) -> None:
    others = "{id: quiet-limit, type: rule, strategy: threshold, config: {metric: latency_ms, value: 1}}, {id: silent, type: rule, strategy: silence}"
    kind = "rule" if strategy in ("cep", "aggregation", "composite") else "behavioral"
    with pytest.raises(ConfigError, match=said):
        parse_config(f"detectors: [{{id: a, type: {kind}, strategy: {strategy}, config: {config}}}, {others}]", "c.yaml")


def test_the_vocabulary_of_metrics_is_documented() -> None:
    page = RULES_PAGE.with_name("anomalies.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| ([\w, ]+) \| (.*) \|$", page.partition("## Metrics")[2], re.MULTILINE)
    assert rows == [(m.name, m.unit, ", ".join(sorted(m.levels)), m.meaning) for m in METRICS.values()]
