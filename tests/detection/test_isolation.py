"""What throws is isolated, counted and said; odd data make sane scores."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from rule_harness import START_MS, Job, event, rule, runtime
from synthetic import pane_of

from sentinel.anomaly import Anomaly
from sentinel.config.errors import ConfigError
from sentinel.config.runtime import DetectorConfig, RuntimeConfig
from sentinel.detection.detection import Detection
from sentinel.detection.detectors.cep import CepDetector
from sentinel.detection.detectors.zscore import ZScoreDetector
from sentinel.detection.engine import ShardEngine
from sentinel.detection.failures import FAILURE_DETECTOR
from sentinel.detection.rules.facts import _Aggregates
from sentinel.detection.rules.patterns import PatternRules
from sentinel.detection.rules.thresholds import ThresholdRule
from sentinel.panes import Pane

LIMIT = rule("limit", "threshold", metric="latency_ms", value=1)
TOKENS = rule("tokens", "threshold", metric="total_tokens", value=1)
PATTERN = rule("attack", "pattern", patterns=["drop table"])
AGAIN = rule("again", "cep", events={"asked": {"type": "llm.request"}}, sequence=["asked", "asked"], within="30s")
SHORTEST = rule("shortest", "aggregation", function="min", metric="prompt_length", value=1)


def throw(*_: Any) -> Any:
    raise ZeroDivisionError("injected\x1b[31m fault")


def failures(run: Job) -> list[Anomaly]:
    return run.of(FAILURE_DETECTOR)


def test_a_rule_on_events_that_throws_is_said_at_every_application_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = ThresholdRule.hits
    monkeypatch.setattr(ThresholdRule, "hits", lambda self, batch: throw() if self.metric == "latency_ms" else hits(self, batch))
    run = Job(runtime([LIMIT, TOKENS, PATTERN]))
    for second in range(9):
        run.send(event(second, total_tokens=5), event(second, "llm.request", application="mail", prompt="drop table"))
    assert len(run.of("tokens")) == 9 and len(run.of("attack")) == 9 and not run.of("limit")
    said = [anomaly for anomaly in failures(run) if anomaly.application_id == "chat"]
    assert [anomaly.metrics["observed_value"] for anomaly in said] == [1, 2, 4, 8], "said at doubling counts"
    assert sum(anomaly.count for anomaly in said) == 8, "counts add up when the records are folded"
    assert len({anomaly.anomaly_id for anomaly in said}) == 1
    assert {anomaly.application_id for anomaly in failures(run)} == {"chat", "mail"}
    assert said[0].labels == {"failed_detector": "limit", "strategy": "threshold", "error": "ZeroDivisionError"}
    assert "Detector limit (strategy threshold) threw ZeroDivisionError: injected [31m fault" in said[0].description


def test_a_pattern_automaton_that_throws_does_not_stop_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatternRules, "hits", throw)
    run = Job(runtime([LIMIT, PATTERN]))
    run.send(event(0), event(0, "llm.request", prompt="drop table"))
    assert run.of("limit") and [anomaly.labels["failed_detector"] for anomaly in failures(run)] == ["attack"]


def test_a_rule_with_memory_that_throws_is_said_and_starts_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CepDetector, "on_second", throw)
    run = Job(runtime([AGAIN, LIMIT, SHORTEST]))
    run.send(event(0, "llm.request"), event(1, "llm.request"))
    run.close(5)
    assert {anomaly.labels["failed_detector"] for anomaly in failures(run)} == {"again"}
    assert run.of("shortest") and run.engine.detector_errors == {"again": 2}
    monkeypatch.undo()
    run.send(event(10, "llm.request"), event(11, "llm.request"))
    run.close(20)
    assert len(run.of("again")) == 1


def test_a_rule_that_cannot_make_its_facts_is_said_a_batch_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Aggregates, "facts", throw)
    run = Job(runtime([SHORTEST, AGAIN]))
    run.send(event(0, "llm.request"))
    run.send(event(1, "llm.request"))
    run.close(5)
    assert run.of("again") and {anomaly.labels["failed_detector"] for anomaly in failures(run)} == {"shortest"}


def test_a_detector_that_cannot_be_built_is_said_where_it_would_have_looked() -> None:
    odd = DetectorConfig(id="odd", type="statistical", strategy="zscore", level="pane", metric="no_such_metric", params={})
    worse = DetectorConfig(
        id="worse", type="rule", strategy="pattern", level="event", metric=None, params={"patterns": [{"id": "a", "pattern": "a(?=b)"}]}
    )
    fine = runtime([PATTERN]).detectors[0]
    run = Job(RuntimeConfig(version=3, detectors=(odd, worse, fine)))
    run.send(event(0, "llm.request", prompt="drop table"))
    run.close(5)
    assert {anomaly.labels["failed_detector"] for anomaly in failures(run)} == {"odd", "worse"}
    assert run.of("attack")


def test_a_nonsensical_detection_does_not_leave_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def nonsense(self: Any, pane: Any) -> Detection:
        return Detection(
            observed=math.inf, baseline=math.nan, low=-math.inf, high=math.inf, deviation=math.nan, threshold=math.nan, score=math.nan,
            severity="warning", window_start_ms=START_MS, window_end_ms=START_MS, detected_ms=START_MS, anchor_ms=START_MS,
        )  # fmt: skip

    monkeypatch.setattr(ZScoreDetector, "on_pane", nonsense)
    config = DetectorConfig(id="z", type="statistical", strategy="zscore", level="pane", metric="latency_ms", params={})
    engine = ShardEngine.from_state(None, RuntimeConfig(version=1, detectors=(config,)))
    (found,) = engine.on_panes([pane_of("a", "m", START_MS, *three())], START_MS + 5000)
    assert Anomaly.from_json(found.to_json()).score == 0.0 and found.metrics == {}


def three() -> tuple[Any, Any, Any, int]:
    import numpy as np

    return np.array([1.0]), np.array([1]), np.array([1]), 0


HOSTILE = {
    "constant": [event(n * 0.5, latency_ms=7.0, total_tokens=3) for n in range(400)],
    "zeros and extremes": [
        event(n * 0.5, latency_ms=0.0 if n % 2 else 1e9, total_tokens=0 if n % 3 else 1_000_000_000) for n in range(400)
    ],
    "gaps": [event(n * 977.0 - 60_000, latency_ms=5.0) for n in range(60)],
    "clock jumps": [event((n % 7) * 40.0, "llm.request" if n % 2 else "llm.error") for n in range(200)],
    "one key with everything": [event(n * 0.01, "llm.error", user="one", session="one") for n in range(2000)],
    "many keys": [event(n * 0.01, "llm.request", user=f"u{n}", session=f"s{n}", model=f"m{n % 500}") for n in range(2000)],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_odd_data_make_sane_records(kind: str) -> None:
    detectors = [
        *(rule(f"agg-{by}-{f}", "aggregation", by=by, function=f, metric="latency_ms", value=0, **({"percentile": 99} if f == "percentile" else {}))
          for by in ("application", "model", "user") for f in ("avg", "sum", "max", "min", "percentile", "count")),
        *(rule(f"seq-{by}", "cep", by=by, events={"any": {"not": {"status": "never"}}}, sequence=["any", {"event": "any", "absent": True}], within="20s")
          for by in ("application", "user", "session")),
        rule("again", "cep", by="user", events={"any": {"not": {"status": "never"}}}, sequence=[{"event": "any", "times": 50}], within="20s"),
        rule("tree", "composite", any=[{"not": {"metric": "error_rate", "value": 0.5}}, {"metric": "latency_p95_ms", "value": 1}]),
        {"id": "z", "type": "statistical", "strategy": "zscore", "config": {"metric": "tokens_per_request"}},
    ]  # fmt: skip
    run = Job(runtime(detectors))
    run.send(*HOSTILE[kind])
    run.close(100_000)
    assert failures(run) == [] and run.found
    for anomaly in run.found:
        record = msgspec.json.decode(anomaly.to_json())
        assert 0.0 <= record["score"] <= 1.0
        assert all(isinstance(value, float) and math.isfinite(value) for value in record["metrics"].values())
        assert record["context"]["window_start"] <= record["context"]["window_end"]


def test_a_rule_that_takes_longer_than_the_timeout_is_said_and_its_findings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    config = msgspec.structs.replace(runtime([LIMIT, PATTERN, AGAIN]), processing_timeout_s=1e-9)
    run = Job(config)
    run.send(event(0), event(0, "llm.request", prompt="drop table"), event(1, "llm.request"))
    run.close(5)
    assert run.of("limit") and run.of("attack") and run.of("again")
    said = {anomaly.labels["failed_detector"]: anomaly.description for anomaly in failures(run)}
    assert set(said) == {"limit", "attack", "again"}
    assert (
        "was too slow: TimeoutError: 0.0 s for a batch of 3 events, processingTimeout is 1e-09 s. 1 times so far at chat" in said["limit"]
    )
    assert "for one second of the application" in said["again"]
    patient = Job(msgspec.structs.replace(config, processing_timeout_s=60.0))
    patient.send(event(0), event(1, "llm.request"))
    patient.close(5)
    assert patient.of("limit") and failures(patient) == []


def test_pane_detectors_that_keep_a_shard_too_long_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them takes longest is looked at from the second slow call on."""
    items = [
        {"id": name, "type": "statistical", "strategy": "zscore", "config": {"metric": metric, "level": "application"}}
        for name, metric in (("slow", "latency_ms"), ("quick", "error_rate"))
    ]
    slow_evaluate = ZScoreDetector.evaluate

    def evaluate(self: ZScoreDetector, *when: int) -> Any:
        if self.spec.name == "latency_ms":
            sum(range(200_000))
        return slow_evaluate(self, *when)

    monkeypatch.setattr(ZScoreDetector, "evaluate", evaluate)

    def failed(timeout_s: float) -> dict[str, list[str]]:
        config = msgspec.structs.replace(runtime(items), processing_timeout_s=timeout_s)
        engine = ShardEngine.from_state(None, config)
        said: dict[str, list[str]] = {}
        for second in range(75):
            at_ms = START_MS + second * 1000
            for anomaly in engine.on_panes([pane_of("a", "m", at_ms, *three())], at_ms + 1000):
                said.setdefault(anomaly.labels["failed_detector"], []).append(anomaly.description)
        return said

    said = failed(1e-9)
    assert "slow" in said and "for the panes of a shard, processingTimeout is 1e-09 s; it took" in said["slow"][0]
    assert failed(60.0) == {}


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", r"(\w+\s?)*!$", "(.*a){20}$"])
def test_a_regex_that_would_explode_runs_in_linear_time(pattern: str) -> None:
    """A backtracking engine would not come back from these texts."""
    run = Job(runtime([rule("p", "pattern", fields=["prompt"], patterns=[{"id": "boom", "pattern": pattern}])]))
    run.send(
        event(1.0, "llm.request", prompt="a" * 20_000 + "?"),
        event(2.0, "llm.request", prompt="a" * 20_000 + ("!" if "!" in pattern else "")),
    )
    assert failures(run) == [] and [anomaly.detector_id for anomaly in run.found] == ["p"]


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)a", "((((a{1000}){1000}){1000}){1000})"])
def test_a_regex_that_cannot_run_in_linear_time_is_refused_with_its_place(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"patterns\[0\]\.pattern: expected a regular expression that RE2 can run"):
        runtime([rule("p", "pattern", fields=["prompt"], patterns=[{"id": "boom", "pattern": pattern}])])


def test_far_more_keys_than_a_shard_may_hold_are_refused_and_the_first_ones_go_on(caplog: pytest.LogCaptureFixture) -> None:
    config = DetectorConfig(id="z", type="statistical", strategy="zscore", level="pane", metric="latency_ms", params={})
    engine = ShardEngine.from_state(None, RuntimeConfig(version=1, detectors=(config,)), max_keys=1_000)
    for begin in range(0, 100_000, 50_000):
        panes: list[Any] = [Pane("acme", f"app-{number}", "m", START_MS, events=1) for number in range(begin, begin + 50_000)]
        engine.on_panes(panes, START_MS - 1)
    assert engine.keys <= 1_000 and engine.keys_refused > 98_000
    before = engine.keys_refused
    engine.on_panes([Pane("acme", "app-0", "m", START_MS + 1000, events=1)], START_MS + 5_000)
    assert engine.keys_refused == before
    said = [record.getMessage() for record in caplog.records if "is not watched: its shard has 1000 keys" in record.getMessage()]
    assert len(said) == 17, "at the 1st, 2nd, 4th … of them"
