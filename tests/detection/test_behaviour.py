"""Behavioural detectors: profiles of users, access patterns, relationships; from users' seconds to anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from rule_harness import START_MS, Job, event, event_name, runtime, seconds

from sentinel.anomaly import Anomaly
from sentinel.config.errors import ConfigError
from sentinel.correlation import Correlator
from sentinel.detection.engine import ShardEngine
from sentinel.detection.facts import ENTITY_RULES, Fact
from sentinel.panes import Pane

DAY, HOUR, MINUTE = 86_400, 3_600, 60
Row = tuple[float, str, dict[str, Any]]


def detector(strategy: str, **config: Any) -> dict[str, Any]:
    return {"id": "b", "type": "behavioral", "strategy": strategy, "config": config, "actions": [{"alert": "b", "severity": "warning"}]}


def play(rows: Iterator[Row] | list[Row], strategy: str, **config: Any) -> list[Anomaly]:
    """(seconds from the start, user, what he did) in order of time; the state goes through its bytes now and then."""
    settings = runtime([detector(strategy, **config)])
    engine = ShardEngine.from_state(None, settings)
    found: list[Anomaly] = []
    at_ms = START_MS
    for number, (at_s, user, did) in enumerate(rows):
        at_ms = START_MS + round(at_s) * 1000
        row = (
            user,
            did.get("model", "m"),
            did.get("region", ""),
            did.get("events", 1),
            did.get("tokens", 0),
            round(did.get("cost", 0) * 1e9),
        )
        pane = Pane("acme", "chat", row[1], at_ms, events=row[3])
        found += engine.on_panes([Fact("acme", "chat", at_ms, "", time_ms=at_ms, users=[row]), pane], at_ms - 1)
        if number % 997 == 0:
            engine = ShardEngine.from_state(engine.to_state(), settings)
    found += engine.on_panes([Fact("acme", "chat", at_ms + 120_000, "", users=[])], at_ms + 300_000)
    assert not any(anomaly.detector_id == "detector-failure" for anomaly in found), found[-1].description
    return found


def minutes(user: str, begin_s: float, count: int, rng: np.random.Generator, events: float = 10.0, **did: Any) -> list[Row]:
    """Active minutes of a user, one row each."""
    return [
        (
            begin_s + n * MINUTE,
            user,
            {"events": int(rng.poisson(events)) + 1, "tokens": int(rng.lognormal(7.5, 0.5) * events), "cost": 0.01, **did},
        )
        for n in range(count)
    ]


def together(*parts: list[Row]) -> list[Row]:
    return sorted((row for part in parts for row in part), key=lambda row: (row[0], row[1]))


# -- user_profile -------------------------------------------------------------------------------------------------------------


def test_a_user_far_above_his_own_past_is_named_and_the_usual_is_said() -> None:
    rng = np.random.default_rng(1)
    rows = together(
        minutes("ann", 0, 200, rng), minutes("bob", 0, 200, rng, events=100),
        minutes("ann", 200 * MINUTE, 5, rng, events=400), minutes("bob", 200 * MINUTE, 5, rng, events=100),
    )  # fmt: skip
    (found,) = play(rows, "user_profile", metrics=["events"])
    assert found.user_id == "ann" and found.affected_entity["type"] == "user" and found.detector_type == "behavioral"
    assert 350 < found.metrics["observed_value"] < 460 and 7 < found.metrics["baseline_value"] < 13
    assert "events in one minute, usual are" in found.description and "of his own past" in found.description
    assert seconds([found]) == [201 * MINUTE]


def test_who_always_sends_much_is_no_news_and_a_slow_rise_is_learned() -> None:
    rng = np.random.default_rng(2)
    steady = minutes("bob", 0, 300, rng, events=500)
    rising = [row for n in range(300) for row in minutes("cyd", n * MINUTE, 1, rng, events=10 * 1.01**n)]
    assert play(together(steady, rising), "user_profile", metrics=["events", "tokens"]) == []


def test_what_lasts_becomes_the_usual_and_is_not_learned_before() -> None:
    rng = np.random.default_rng(3)
    rows = together(minutes("ann", 0, 150, rng), minutes("ann", 150 * MINUTE, 200, rng, events=400))
    found = play(rows, "user_profile", metrics=["events"], adaptAfter="30m", repeat="1m")
    at = seconds(found)
    assert at[0] == 151 * MINUTE and 175 * MINUTE < at[-1] < 260 * MINUTE
    early = [anomaly.metrics["baseline_value"] for anomaly in found if seconds([anomaly])[0] < 178 * MINUTE]
    assert max(early) == min(early), "an anomaly must not move the past that it is measured with"


def test_a_new_user_is_measured_by_the_others_and_floors_hold() -> None:
    rng = np.random.default_rng(4)
    peers = [minutes(f"u{n}", 0, 40, rng, events=5) for n in range(5)]
    wild = minutes("new", 40 * MINUTE, 3, rng, events=300)
    mild = minutes("other", 40 * MINUTE, 3, rng, events=20)
    found = play(together(*peers, wild, mild), "user_profile", metrics=["events"])
    assert {anomaly.user_id for anomaly in found} == {"new"}
    assert "from the minutes of the others, since he is new" in found[0].description
    assert play(together(*peers, wild), "user_profile", metrics=["events"], minEvents=1000) == []


def test_cost_and_tokens_are_judged_for_themselves() -> None:
    rng = np.random.default_rng(5)
    rows = minutes("ann", 0, 200, rng) + minutes("ann", 200 * MINUTE, 1, rng, cost=25.0) + minutes("ann", 201 * MINUTE, 1, rng)
    (found,) = play(rows, "user_profile", metrics=["events", "tokens", "cost"])
    assert found.metrics["observed_value"] == 25.0 and "25 USD in one minute" in found.description


def test_an_hour_at_which_a_user_was_never_up() -> None:
    rng = np.random.default_rng(6)
    office = [row for day in range(8) for hour in range(1, 9) for row in minutes("ann", day * DAY + hour * HOUR, 5, rng, events=60)]
    night = minutes("ann", 8 * DAY + 15 * HOUR, 3, rng, events=60)
    beside = minutes("ann", 8 * DAY + 9 * HOUR, 3, rng, events=60)
    (found,) = play(office + beside + night, "user_profile", metrics=["hours"])
    assert seconds([found]) == [8 * DAY + 15 * HOUR + MINUTE]
    assert "events at 23 h UTC, an hour at which he was never active in 9 active days" in found.description


def test_quiet_users_make_no_alarm_in_days() -> None:
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    for number in range(20):
        rate = float(rng.uniform(2, 60))
        for day in range(3):
            begin = day * DAY + float(rng.uniform(0, 2)) * HOUR
            for n in range(int(rng.integers(100, 300))):
                rows += minutes(f"u{number:02d}", round(begin + n * MINUTE), 1, rng, events=rate * float(rng.lognormal(0, 0.4)))
    found = play(together(rows), "user_profile")
    assert len(rows) > 5_000 and len(found) <= 1, [anomaly.description for anomaly in found]


# -- access_pattern -----------------------------------------------------------------------------------------------------------


def crowd(count: int, days: int, model: str = "m", region: str = "eu") -> list[Row]:
    return [
        (day * DAY + n * 10, f"u{n:02d}", {"events": 20, "model": model, "region": region}) for day in range(days) for n in range(count)
    ]


def test_a_model_and_a_region_that_are_new_for_a_user_and_rare_among_his_peers() -> None:
    rows = [*crowd(30, 5), (10.0, "admin", {"events": 100, "model": "gpt-5-admin", "region": "us"})]
    rows += [(5 * DAY, "u03", {"model": "gpt-5-admin", "region": "eu"}), (5 * DAY + 60, "u04", {"model": "m", "region": "us"})]
    found = play(together(rows), "access_pattern")
    assert [(a.user_id, a.labels["key"]) for a in found] == [("u03", "model gpt-5-admin"), ("u04", "region us")]
    assert "for the first time in 120 h and 101 events; until now model m" in found[0].description
    assert found[0].score > 0.9


def test_a_rollout_accuses_nobody_and_newcomers_may_look_around() -> None:
    rollout = [(5 * DAY + n * 100, f"u{n:02d}", {"model": "m2", "region": "eu"}) for n in range(30)]
    newcomer = [(5 * DAY + n, "new", {"events": 100, "model": f"m{n}", "region": f"r{n}"}) for n in range(5)]
    assert play(together(crowd(30, 5), rollout, newcomer), "access_pattern") == []
    later = [(8 * DAY + n * 100, f"u{n:02d}", {"model": "m2"}) for n in range(4)]
    assert play(together(crowd(30, 5), rollout[10:], later), "access_pattern") == [], "most peers use it by now"


def test_a_burst_after_dormancy() -> None:
    rows = [*crowd(3, 2), *[(20 * DAY + n, "u01", {"events": 5, "region": "eu"}) for n in range(10)], (20 * DAY, "u02", {"region": "eu"})]
    (found,) = play(together(rows), "access_pattern")
    assert found.user_id == "u01" and "20 events within a minute after" in found.description and seconds([found]) == [20 * DAY + 4]


def test_users_are_bounded_and_forgotten() -> None:
    settings = runtime(
        [detector("access_pattern", maxUsers=100, forgetAfter="1d"), detector("user_profile", maxUsers=100, forgetAfter="1d") | {"id": "c"}]
    )
    engine = ShardEngine.from_state(None, settings)
    for n in range(2_000):
        engine.on_panes([Fact("acme", "chat", START_MS + n * 1000, "", users=[(f"u{n}", f"m{n % 7}", "", 1, 0, 0)])], START_MS + n * 1000)
    size = len(engine.to_state())
    assert size < 120_000
    engine.on_panes(
        [Fact("acme", "chat", START_MS + 3 * DAY * 1000, "", users=[("x", "m", "", 1, 0, 0)])], START_MS + 3 * DAY * 1000 + 5000
    )
    for n in range(300):
        at = START_MS + (3 * DAY + 60 + 60 * n) * 1000
        engine.on_panes([Fact("acme", "chat", at, "", users=[("x", "m", "", 1, 0, 0)])], at + 5000)
    assert len(engine.to_state()) < size / 2


# -- entity_relationship ------------------------------------------------------------------------------------------------------


def test_a_model_that_the_application_never_used() -> None:
    rows = [*crowd(5, 3), (3 * DAY, "u01", {"model": "shadow-model"}), (3 * DAY + 5, "u02", {"model": "shadow-model"})]
    (found,) = play(together(rows), "entity_relationship")
    assert found.labels["key"] == "model shadow-model" and found.affected_entity["type"] == "application"
    assert "Uses model shadow-model for the first time in 72 h; until now m" in found.description


def test_fan_out_of_a_user_over_models_and_of_an_application_over_users() -> None:
    usual = [(n * 60.0, f"u{n % 8}", {"model": f"m{n % 2}"}) for n in range(200)]
    scan = [(12_100.0 + n, "u3", {"model": f"m{n}"}) for n in range(9)]
    flood = [(13_300.0 + n, f"bot{n}", {"model": "m1"}) for n in range(120)]
    found = play(together(usual, scan, flood), "entity_relationship", watch=["user_models", "application_users"])
    assert [(a.user_id, a.metrics["observed_value"]) for a in found] == [("u3", 5.0), ("", 50.0)]
    assert "users within 600 s" in found[1].description or "users within 10 m" in found[1].description
    assert play(together(usual, scan[:4]), "entity_relationship", watch=["user_models", "application_users"]) == []


def test_growth_becomes_the_usual() -> None:
    rows = [(window * 600 + n, f"u{n}", {"model": "m"}) for window in range(30) for n in range(min(500, 60 if window < 10 else 170))]
    found = play(together(rows), "entity_relationship", watch=["application_users"], minRatio=2)
    assert 1 <= len(found) <= 8 and seconds(found)[-1] < 20 * 600


# -- the hop ------------------------------------------------------------------------------------------------------------------


def test_the_hop_adds_up_what_each_user_did() -> None:
    run = Job(runtime([detector("access_pattern")]))
    run.send(
        event(0.1, user="ann", total_tokens=10, cost=0.5, tags={"region": "eu"}),
        event(0.9, user="ann", total_tokens=5, cost=0.25, tags={"region": "eu"}),
        event(0.9, user="ann", model="other"),
        event(1.0, user="bob"),
        event(1.5),
        event(1.5, user="eve", application="mail"),
    )
    rows = {(fact.application_id, fact.start_ms - START_MS): fact.users for fact in run.facts}
    assert rows == {
        ("chat", 0): [("ann", "m", "eu", 2, 15, 750_000_000), ("ann", "other", "", 1, 0, 0)],
        ("chat", 1000): [("bob", "m", "", 1, 0, 0)],
        ("mail", 1000): [("eve", "m", "", 1, 0, 0)],
    }
    # An event of each row; the two of `ann` with one model are the first and the second that were sent.
    assert [fact.events for fact in run.facts] == [[event_name(0), event_name(2)], [event_name(3)], [event_name(5)]]


@pytest.mark.parametrize("strategy", ["user_profile", "access_pattern", "entity_relationship"])
def test_cuts_of_batches_do_not_show(strategy: str) -> None:
    rng = np.random.default_rng(8)
    mild = {
        "user_profile": {"minMinutes": 1, "minEvents": 1, "threshold": 0.5, "minRatio": 1},
        "access_pattern": {"minEvents": 1, "peerShare": 1},
        "entity_relationship": {"window": "1m", "minModels": 2, "minUsers": 2, "minRatio": 1, "minWindows": 1},
    }
    config = runtime([detector(strategy, warmup="10s", **mild[strategy])])
    rows = [(int(rng.integers(0, 200)), f"u{rng.integers(0, 4)}", f"m{rng.integers(0, 9)}", int(rng.integers(1, 90))) for _ in range(600)]

    def found(parts: int) -> list[bytes]:
        engine = ShardEngine.from_state(None, config)
        facts = [
            Fact("acme", "chat", START_MS + at * 1000, "", users=[(user, model, "", events, 0, 0)], events=[f"e{number:03d}"])
            for number, (at, user, model, events) in enumerate(rows)
        ]
        said = []
        for part in range(parts):
            said += engine.on_panes(facts[part::parts], START_MS - 1)
            engine = ShardEngine.from_state(engine.to_state(), config)
        said += engine.on_panes([Fact("acme", "chat", START_MS + 400_000, "")], START_MS + 500_000)
        return [msgspec.json.encode(anomaly) for anomaly in said]

    straight = found(1)
    assert straight and found(3) == straight
    assert all(msgspec.json.decode(one)["context"]["sample_events"] for one in straight), "each names an event"


def test_api_keys_are_watched_as_users_are_and_named_by_their_id() -> None:
    detectors = [
        {**detector("entity_relationship", entity="api_key", watch=["user_models"], minModels=4, minWindows=2, window="1m"), "id": "keys"},
        {**detector("entity_relationship", watch=["user_models"], minModels=4, minWindows=2, window="1m"), "id": "users"},
    ]
    run = Job(runtime(detectors))

    def call(at_s: float, key: str, model: str) -> Any:
        return event(at_s, "llm.request", user=f"user-{at_s}", model=model, tags={"api_key_id": key})

    run.send(*(call(at_s, key, "m0") for at_s in range(0, 240, 20) for key in ("k1", "k2")))
    run.send(*(call(240 + number, "k2", f"m{number}") for number in range(6)))
    run.close(500)
    assert {anomaly.detector_id for anomaly in run.found} == {"keys"}, "every user made one call"
    (found,) = run.found
    assert (found.labels["key"], found.user_id, found.affected_entity["type"]) == ("API key k2", "", "application")
    assert "4 models within 60 s, the busiest API key has 1" in found.description


def test_a_key_that_many_users_share_is_named() -> None:
    keys = {**detector("entity_relationship", entity="api_key", watch=["key_users"], minUsers=4, minWindows=2, window="1m"), "id": "keys"}
    run = Job(runtime([keys]))

    def call(at_s: float, key: str, user: str) -> Any:
        return event(at_s, "llm.request", user=user, model="m", tags={"api_key_id": key})

    run.send(*(call(at_s, key, f"{key}-owner") for at_s in range(0, 240, 20) for key in ("k1", "k2")))
    run.send(*(call(240 + number, "k2", f"stranger-{number}") for number in range(6)))
    run.close(500)
    (found,) = run.found
    assert (found.labels["key"], found.metrics["observed_value"]) == ("API key k2", 4.0)
    assert "4 users within 60 s, the busiest API key has 1: stranger-0" in found.description


def test_keys_and_their_users_take_a_detector_of_their_own() -> None:
    for wrong in ({"watch": ["key_users"]}, {"watch": ["key_users", "new_model"], "entity": "api_key"}):
        with pytest.raises(ConfigError, match="a detector of its own"):
            runtime([detector("entity_relationship", **wrong)])


def _across(rows: list[tuple[float, str, str]], before: list[tuple[float, str, str]] | None = None, **config: Any) -> list[Anomaly]:
    """(seconds, user, application) through shards and correlation, which is restarted in between. `before`: while windows were of an hour."""
    settings = runtime([detector("entity_relationship", watch=["user_applications"], window="1m", minWindows=2, **config)])
    hourly = runtime([detector("entity_relationship", watch=["user_applications"], window="1h", minWindows=2, **config)])
    engine, correlator = ShardEngine.from_state(None, hourly if before else settings), Correlator(hourly if before else settings)
    found: list[Anomaly] = []
    for number, (at_s, who, application) in enumerate([*(before or []), *rows]):
        if before and number == len(before):
            engine.apply_config(settings)
            correlator.apply_config(settings)
        at_ms = START_MS + round(at_s) * 1000
        for edge in engine.on_panes(
            [Fact("acme", application, at_ms, ENTITY_RULES[config.get("entity", "user")], users=[(who, "m", "", 1, 0, 0)])], at_ms + 5_000
        ):
            found += correlator.on_anomaly(edge, at_ms)
        correlator = Correlator.from_state(correlator.to_state(), settings if number >= len(before or []) else hourly)
    return found


@pytest.mark.parametrize("entity", ["user", "api_key"])
def test_who_spreads_over_applications_is_named_once_and_the_others_are_not(entity: str) -> None:
    usual = [(n * 20.0, f"u{n % 3}", f"app-{n % 3}") for n in range(15)]
    scan = [(305.0 + n, "u1", f"app-{n}") for n in range(7)]
    (found,) = _across([*usual, *scan, (370.0, "u2", "app-2")], minApplications=4, entity=entity)
    who = (found.user_id, found.labels.get("key"))
    assert who == (("u1", None) if entity == "user" else ("", "API key u1"))
    assert (found.status, found.application_id, found.metrics["observed_value"]) == ("active", "app-3", 4.0)
    assert "4 applications within 60 s, the busiest" in found.description and "app-0, app-1, app-2, app-3" in found.description
    assert _across([*usual, *scan[:3]], minApplications=4, entity=entity) == []


def test_nobody_is_named_before_windows_were_learned() -> None:
    assert _across([(n, "u1", f"app-{n}") for n in range(9)], minApplications=4) == []


def test_windows_of_another_length_begin_afresh() -> None:
    usual = [(n * 20.0, f"u{n % 3}", f"app-{n % 3}") for n in range(15)]
    scan = [(305.0 + n, "u1", f"app-{n}") for n in range(7)]
    (found,) = _across([*usual, *scan], before=[(0.0, "u1", "app-1")], minApplications=4)
    assert found.user_id == "u1"
