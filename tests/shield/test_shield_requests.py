"""What detectors and definitions ask of Shield, and how it lies in the records."""

from typing import Any

import pytest

from sentinel import shield
from sentinel.alerting.group import AlertGroup
from sentinel.alerting.matching import match
from sentinel.alerting.records import AlertRecord
from sentinel.anomaly import Anomaly
from sentinel.config.errors import ConfigError
from sentinel.config.load import parse_config
from sentinel.config.runtime import DetectorAction, DetectorConfig, RuntimeConfig, Scope
from sentinel.contract.anomaly import AnomalyEvent
from sentinel.correlation import Correlator
from sentinel.shield import of_detector
from services.dispatcher.shield_orders import parse

NOW = "2026-03-02T12:00:00.000Z"


def found(user: str = "u-1", name: str = "550e8400-e29b-41d4-a716-446655440000", **fields: Any) -> Anomaly:
    usual: dict[str, Any] = {
        "timestamp": NOW,
        "detector_id": "latency",
        "severity": "critical",
        "score": 1.0,
        "tenant_id": "acme",
        "application_id": "chat",
        "model": "gpt",
        "title": "why",
        "first_seen": NOW,
        "last_seen": NOW,
        "context": {"sample_events": ["e-1", "e-2"]},
    }
    return Anomaly(anomaly_id=name, user_id=user, **(usual | fields))


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        (None, "acme/user:u-1"),
        ({"target": "request"}, "acme/request:e-1"),
        ({"target": "application"}, "acme/application:chat"),
        ({"target": "endpoint"}, "acme/user:u-1"),
    ],
)
def test_whom_it_is_about(settings: dict[str, Any] | None, target: str) -> None:
    (request,) = of_detector([DetectorAction(shield="block", shield_config=settings)], found())
    assert request["target"] == target


def test_settings_are_frozen_into_the_request() -> None:
    config = {"duration": "30m", "parameters": {"reason": "injected", "limit": 5, "hard": True}, "endpoint": "shield:1"}
    actions = [DetectorAction(alert="x"), DetectorAction(shield="rate_limit", shield_config=config), DetectorAction(shield="block")]
    first, second = of_detector(actions, found())
    assert (first["action"], first["duration_s"], first["reason"], first["endpoint"]) == (
        "shield_rate_limit",
        1800.0,
        "injected",
        "shield:1",
    )
    assert first["parameters"] == {"reason": "injected", "limit": "5", "hard": "true"}
    assert (second["action"], second["duration_s"], second["reason"]) == ("shield_block", 3600.0, "why")
    assert first["action_id"] != second["action_id"]
    assert [request["action_id"] for request in of_detector(actions, found(title="other"))] == [
        first["action_id"],
        second["action_id"],
    ]


CONFIG = """
alerting:
  grouping: {groupWait: 0s}
  definitions:
    - alert_id: d
      name: D
      conditions: {trigger: anomaly}
      actions: [{type: notification}, {type: shield, config: {action: throttle, target: model, duration: 10m}}]
integrations: {shield: {endpoint: "grpc://127.0.0.1:1"}}
"""


def test_an_alert_asks_while_it_fires_and_its_end_releases() -> None:
    loaded = parse_config(CONFIG, "test")
    assert loaded.warnings == []
    config = RuntimeConfig.from_snapshot(1, loaded.config.to_snapshot())
    anomaly = found(name="an-1", title="Slow")
    (key,) = match(anomaly, config)
    group = AlertGroup.from_state(key, None, config)
    outputs = group.on_anomaly(anomaly, 1_000) + group.on_timer(10_000_000)
    fires, over = [record for record in outputs if isinstance(record, AlertRecord)]
    order = parse(fires.to_json())
    (request,) = order.requests
    assert (request.kind, request.target, request.duration_s, request.reason) == ("throttle", "acme/model:gpt", 600.0, "Slow")
    assert not order.release
    release = parse(over.to_json())
    assert (release.release, release.alert_id, release.anomaly_ids) == (True, fires.alert_id, ["an-1"])
    assert over.shield == []


def test_the_end_of_an_alert_names_every_anomaly_that_asked() -> None:
    """Its record shows 50 anomalies; what others asked of Shield is revoked as well."""
    config = RuntimeConfig.from_snapshot(1, parse_config(CONFIG, "test").config.to_snapshot())
    block = [DetectorAction(shield="block")]
    (key,) = match(found(), config)
    group = AlertGroup.from_state(key, None, config)
    for number in range(130):
        anomaly = found(f"u-{number}", f"an-{number}")
        anomaly.actions_taken = of_detector(block, anomaly) if number % 2 else []
        group.on_anomaly(anomaly, 1_000)
        group = AlertGroup.from_state(key.to_text(), group.to_state(), config)
    (over,) = [record for record in group.on_timer(10_000_000) if isinstance(record, AlertRecord) and record.status == "resolved"]
    assert len(over.anomaly_ids) == 50
    assert set(parse(over.to_json()).anomaly_ids) == {*over.anomaly_ids, *(f"an-{number}" for number in range(1, 130, 2))}


def test_what_is_over_first_is_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shield, "MAX_ASKING", 2)
    asking: dict[str, int] = {}
    for name, duration in (("long", "2h"), ("short", "1m"), ("usual", "1h")):
        shield.note_asking(
            asking, name, of_detector([DetectorAction(shield="block", shield_config={"duration": duration})], found(name=name))
        )
    shield.note_asking(asking, "nothing", [{"action": "alert_created"}])
    assert list(asking) == ["long", "usual"]


class Life:
    """One alert key through its states, as the operator keeps it."""

    def __init__(self) -> None:
        self.config = RuntimeConfig.from_snapshot(1, parse_config(CONFIG, "test").config.to_snapshot())
        self.key = match(found(), self.config)[0]
        self.state: bytes | None = None

    def alerts(self, now_ms: int, *anomalies: Anomaly, until_ms: int = 0) -> list[AlertRecord]:
        """The alert's records when these come, and at every second until then."""
        group = AlertGroup.from_state(self.key, self.state, self.config)
        outputs: list[Any] = [output for anomaly in anomalies for output in group.on_anomaly(anomaly, now_ms)]
        for at_ms in range(now_ms, (until_ms or now_ms) + 1, 1_000):
            outputs += group.on_timer(at_ms)
            group = AlertGroup.from_state(self.key.to_text(), group.to_state(), self.config)
        self.state = group.to_state()
        return [output for output in outputs if isinstance(output, AlertRecord)]


def attack(number: int, minute: int = 0, count: int = 1) -> Anomaly:
    """Anomaly of one attacker, whose block was asked for with its first record; it was seen last in that minute."""
    anomaly = found(f"u-{number}", f"an-{number:04}", last_seen=f"2026-03-02T12:{minute:02}:00.000Z", count=count, update=count > 1)
    anomaly.actions_taken = of_detector(
        [DetectorAction(shield="block", shield_config={"duration": "6h"})], found(f"u-{number}", f"an-{number:04}")
    )
    return anomaly


def again(records: list[AlertRecord]) -> list[str]:
    """Whose block the records ask for."""
    return [request["target"].partition(":")[2] for record in records for request in record.shield if request["action"] == "shield_block"]


@pytest.mark.parametrize("attackers", [1, 51, 700])
def test_whoever_goes_on_after_the_end_is_blocked_again_however_many_they_are(attackers: int) -> None:
    life, everybody = Life(), [f"u-{number}" for number in range(attackers)]
    assert again(life.alerts(1_000, *(attack(number) for number in range(attackers)))) == [], "their own records ask"
    ids: set[str] = set()
    for round_ in (1, 2):
        over = life.alerts(round_ * 1_000_000 - 500_000, until_ms=round_ * 1_000_000 - 500_000 + 400_000)[-1]
        assert over.status == "resolved"
        assert set(parse(over.to_json()).anomaly_ids) == {f"an-{number:04}" for number in range(attackers)}
        at_ms = round_ * 1_000_000
        goes_on = [attack(number, minute=round_ * 16, count=1 + round_) for number in range(attackers)]
        records = life.alerts(at_ms, *goes_on, until_ms=at_ms + 10_000)
        assert sorted(again(records)) == sorted(everybody), f"round {round_}"
        assert max(len(record.shield) for record in records) <= shield.ASKED_AT_ONCE + 1
        blocks = {r["action_id"] for record in records for r in record.shield if r["action"] == "shield_block"}
        assert len(blocks) == attackers and not blocks & ids, "another id each time, since the end revoked the one before"
        ids |= blocks
        assert (
            again(life.alerts(at_ms + 11_000, *(attack(number, minute=round_ * 16 + 1, count=2 + round_) for number in range(attackers))))
            == []
        )


def test_who_goes_on_under_another_alert_is_blocked_again() -> None:
    life = Life()
    life.alerts(1_000, attack(1), attack(2), until_ms=400_000)
    other = found("u-3", "an-3", first_seen="2026-03-02T12:16:00.000Z", last_seen="2026-03-02T12:16:00.000Z")
    (fresh,) = life.alerts(1_000_000, other)
    assert fresh.anomaly_ids == ["an-3"] and fresh.reopened == 0
    records = life.alerts(1_002_000, attack(2, minute=17, count=2))
    assert again(records) == ["u-2"]
    (block,) = [request for record in records for request in record.shield if request["action"] == "shield_block"]
    assert block["timestamp"] == "2026-03-02T12:17:00.000Z"


def test_those_that_are_too_many_to_be_remembered_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shield, "MAX_ASKING", 60)
    life = Life()
    records = life.alerts(1_000, *(attack(number) for number in range(100)), until_ms=400_000)
    order = parse(records[-1].to_json())
    assert (order.release, order.forgotten) == (True, 40)
    assert {f"an-{number:04}" for number in range(40, 100)} <= set(order.anomaly_ids)


def test_correlation_asks_with_the_first_record_of_an_anomaly() -> None:
    actions = (DetectorAction(shield="block"),)
    latency = DetectorConfig(
        "latency", "rule", "threshold", "pane", "latency_ms", {}, scope=Scope(excluded_tenants=("globex",)), actions=actions
    )
    correlator = Correlator(RuntimeConfig(1, detectors=(latency,)))
    (first,) = correlator.on_anomaly(found(), 1_000)
    assert [request["target"] for request in first.actions_taken] == ["acme/user:u-1"]
    assert correlator.on_anomaly(found(timestamp="2026-03-02T12:00:01.000Z", last_seen="2026-03-02T12:00:01.000Z"), 1_100) == []
    (update,) = correlator.on_timer(5_000)
    assert update.update
    assert update.actions_taken == first.actions_taken
    (other,) = correlator.on_anomaly(found(name="an-2", detector_id="cost"), 6_000)[-1:]
    (excluded,) = Correlator(RuntimeConfig(1, detectors=(latency,))).on_anomaly(found(tenant_id="globex"), 1_000)
    assert other.actions_taken == excluded.actions_taken == []


def test_the_record_of_an_anomaly_keeps_to_the_contract() -> None:
    actions = of_detector([DetectorAction(shield="quarantine")], found())
    anomaly = found()
    anomaly.actions_taken = actions
    AnomalyEvent.model_validate_json(anomaly.to_json())
    order = parse(anomaly.to_json())
    assert [request.kind for request in order.requests] == ["quarantine"]
    assert order.context["detector_id"] == "latency"


@pytest.mark.parametrize("value", [b"", b"[]", b'{"alert_id": 1}', b'{"anomaly_id": "a"}', b"\xff"])
def test_another_record_is_refused_with_its_place(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a record for Shield: "):
        parse(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{action: blok}", "did you mean block?"),
        ("{action: block, duraton: 1h}", "did you mean duration?"),
        ("{action: block, duration: 0s}", "expected a duration longer than zero"),
        ("{action: block, endpoint: nowhere}", "expected host:port"),
        ("{}", "expected a value, found nothing"),
    ],
)
def test_a_wrong_setting_of_a_definition_is_refused_at_the_door(text: str, told: str) -> None:
    definition = f"{{alert_id: a, name: A, conditions: {{trigger: anomaly}}, actions: [{{type: shield, config: {text}}}]}}"
    with pytest.raises(ConfigError) as refused:
        parse_config(f"alerting: {{definitions: [{definition}]}}", "test")
    assert told in str(refused.value)
    assert "actions[0].config" in str(refused.value)
