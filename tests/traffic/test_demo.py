"""The verdict of the demonstration on hand-written findings, and the receivers that it runs itself."""

from __future__ import annotations

import io
import smtplib
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sentinel.config.load import load_config
from services.demo import run
from services.demo.matching import EXPECTED, Findings, FoundAlert, FoundAnomaly, Told, judge
from services.demo.scenario import write_config
from services.demo.sinks import Inbox
from services.demo.view import LiveView, PlainView, Scene, figures, result_table, size_text
from services.traffic.plan import KINDS
from services.traffic.truth import Truth

RUN = 1_000_000_000
GRACE = 60_000


def truth(**changes: Any) -> Truth:
    values = {"kind": "latency_spike", "tenant_id": "t", "application_id": "a", "user_id": None, "size": {"factor": 3.0}}
    return Truth(**{**values, "start_ms": RUN + 100_000, "end_ms": RUN + 160_000, "events_touched": 9, **changes})


def anomaly(at: int, **changes: Any) -> FoundAnomaly:
    values = {"anomaly_id": "n1", "tenant_id": "t", "application_id": "a", "detector_id": "latency-zscore", "metric": "latency_ms"}
    return FoundAnomaly(**{**values, "severity": "warning", "title": "", "first_seen_ms": RUN + at, "detected_ms": RUN + at, **changes})


def alert(at: int, **changes: Any) -> FoundAlert:
    values = {"alert_id": "l1", "tenant_id": "t", "application_id": "a", "detector_id": "latency-zscore", "metric": "latency_ms"}
    return FoundAlert(**{**values, "definition_id": "d", "severity": "warning", "status": "firing", "starts_ms": RUN + at, **changes})


def verdict(*found: FoundAnomaly | FoundAlert | Told, truths: list[Truth] | None = None) -> Any:
    findings = Findings(
        tuple(f for f in found if isinstance(f, FoundAnomaly)),
        tuple(f for f in found if isinstance(f, FoundAlert)),
        tuple(f for f in found if isinstance(f, Told)),
    )
    return judge([truth()] if truths is None else truths, findings, start_ms=RUN, grace_ms=GRACE)


def test_the_first_anomaly_and_alert_of_the_place_and_kind_count_with_their_delays() -> None:
    result = verdict(
        anomaly(108_000, anomaly_id="n2"),
        anomaly(105_000),
        alert(106_000),
        Told("l1", "oncall-email", "email", "firing", RUN + 107_500),
        Told("l1", "default-notifications", "webhook", "firing", RUN + 106_500),
        Told("l1", "default-notifications", "webhook", "resolved", RUN + 170_000),
        Told("l2", "other", "webhook", "firing", RUN + 101_000),
    )
    (row,) = result.rows
    assert result.passed
    assert (row.anomaly_delay_s, row.alert_delay_s, row.told_delay_s) == (5.0, 6.0, 6.5)
    assert {t.receiver for t in row.told} == {"oncall-email", "default-notifications"}


@pytest.mark.parametrize(
    "found",
    [
        (),
        (anomaly(105_000),),
        (alert(105_000),),
        (anomaly(99_000), alert(99_000)),
        (anomaly(221_000), alert(221_000)),
        (anomaly(105_000, tenant_id="x"), alert(105_000, tenant_id="x")),
        (anomaly(105_000, application_id="b"), alert(105_000, application_id="b")),
        (anomaly(105_000, metric="error_rate", detector_id="e"), alert(105_000, metric="error_rate", detector_id="e")),
    ],
    ids=["nothing", "no alert", "no anomaly", "too early", "too late", "other tenant", "other application", "other kind"],
)
def test_what_does_not_match_is_missed(found: tuple[Any, ...]) -> None:
    result = verdict(*found)
    assert len(result.missed) == 1
    assert not result.passed


def test_an_alert_outside_of_trouble_is_a_false_alarm_and_one_inside_is_not() -> None:
    good = (anomaly(105_000), alert(105_000))
    assert verdict(*good, alert(110_000, alert_id="l2", metric="error_rate")).passed
    assert verdict(*good, alert(219_000, alert_id="l2")).passed
    for stray in (alert(50_000, alert_id="l2"), alert(221_000, alert_id="l2"), alert(110_000, alert_id="l2", application_id="b")):
        result = verdict(*good, stray)
        assert result.false_alarms == (stray,)
        assert not result.missed
        assert not result.passed
    assert verdict(*good, alert(-1, alert_id="l2")).passed, "alerts from before the run do not count"


def test_every_kind_has_an_expectation_that_fits_its_built_in_detector() -> None:
    assert EXPECTED.keys() == KINDS.keys()
    for kind, detector, metric in (
        ("error_burst", "error-rate-zscore", "error_rate"),
        ("cost_runaway", "cost-zscore", "cost_per_request"),
        ("token_explosion", "tokens-zscore", "tokens_per_request"),
        ("prompt_injection_wave", "prompt-injection-patterns", ""),
        ("user_misuse", "user-misuse", "top_user_events"),
        ("silence", "application-silence", "events_per_second"),
    ):
        assert EXPECTED[kind].fits(detector, metric)
        assert not EXPECTED["latency_spike"].fits(detector, metric)


def test_the_table_shows_found_and_missed() -> None:
    result = verdict(anomaly(105_000), alert(106_000), truths=[truth(), truth(kind="error_burst", size={"share": 0.2}, application_id="b")])
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(result_table(result, RUN))
    text = capture.get()
    for part in ("latency_spike", "t / a", "×3", "5.0 s", "6.0 s", "found", "20%", "MISSED"):
        assert part in text
    assert size_text(truth(size={})) == "no events"
    assert "– events/s" in figures(Scene(RUN, {}))


def test_grouping_escalation_and_the_end_are_shown() -> None:
    found = (
        anomaly(105_000),
        alert(106_000, count=34, status="resolved"),
        Told("l1", "default-notifications", "webhook", "firing", RUN + 106_500, "first"),
        Told("l1", "oncall-email", "email", "firing", RUN + 121_500, "escalated"),
        Told("l1", "default-notifications", "webhook", "resolved", RUN + 184_000, "resolved"),
        Told("l1", "oncall-email", "email", "resolved", RUN + 185_000, "resolved"),
        Told("l1", "slow-one", "email", "resolved", None, "resolved"),
    )
    result = verdict(*found)
    (row,) = result.rows
    assert (row.told_delay_s, row.escalated_delay_s, row.over_delay_s) == (6.5, 21.5, 25.0)
    assert result.unseen == () and result.settled
    scene = Scene(RUN, {}, findings=Findings((found[0],), (found[1],), found[2:]), verdict=result)
    console = Console(width=250, file=io.StringIO())
    with console.capture() as capture:
        console.print(result_table(result, RUN))
        console.print(LiveView(console)._render(scene))
    text = capture.get()
    for part in (
        "21.5 s",
        "25.0 s",
        "34 findings",
        "default-notifications → oncall-email (escalated) → default-notifications (over) → oncall-email (over)",
    ):
        assert part in text, text


def test_a_run_is_settled_when_somebody_was_told_of_every_end() -> None:
    found: list[FoundAnomaly | FoundAlert | Told] = []
    for place, alert_id in (("a", "l1"), ("b", "l2")):
        found += [
            anomaly(105_000, application_id=place),
            alert(106_000, application_id=place, alert_id=alert_id, count=2),
            Told(alert_id, "default-notifications", "webhook", "firing", RUN + 106_500, "first"),
            Told(alert_id, "oncall-email", "email", "firing", RUN + 121_500, "escalated"),
            Told(alert_id, "default-notifications", "webhook", "resolved", RUN + 184_000, "resolved"),
        ]
    truths = [truth(), truth(application_id="b")]
    assert verdict(*found, truths=truths).settled
    without_the_last_end = verdict(*found[:-1], truths=truths)
    assert without_the_last_end.passed and not without_the_last_end.unseen and not without_the_last_end.settled
    assert not verdict(*found, truths=[*truths, truth(application_id="c")]).settled


def test_a_demonstration_without_grouping_escalation_or_end_is_not_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    first = Told("l1", "default-notifications", "webhook", "firing", RUN + 106_500, "first")
    escalated = Told("l1", "oncall-email", "email", "firing", RUN + 121_500, "escalated")
    refused = Told("l1", "oncall-email", "email", "resolved", None, "resolved")
    result = verdict(anomaly(105_000), alert(106_000, count=1), first, refused)
    assert result.passed and result.unseen == ("grouping", "escalation", "the end")
    result = verdict(anomaly(105_000), alert(106_000, count=2), first, escalated, refused)
    assert result.unseen == ("the end",)
    run._report(result, Scene(RUN, {}), Console(width=250))
    said = capsys.readouterr().out
    assert "NOT SEEN in any alert: the end" in said
    assert "1 alerts stand for several findings, 1 were escalated since nobody answered, the end of 0 was told." in said
    assert "before this run" not in said


def test_messages_about_alerts_of_an_earlier_run_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    own = Told("l1", "default-notifications", "webhook", "firing", RUN + 106_500, "first")
    earlier = [Told(f"old{number % 2}", "oncall-email", "email", "firing", RUN + 7_000, "escalated") for number in range(3)]
    run._report(verdict(), Scene(RUN, {}, findings=Findings((), (alert(106_000),), (own, *earlier))), Console(width=250))
    assert "Some of the messages are about 2 alerts that began before this run" in capsys.readouterr().out


def test_the_plain_view_says_each_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told("l1", "oncall-email", "email", "firing", RUN + 121_500, "escalated")
    scene, view = Scene(RUN, {}, findings=Findings((), (alert(106_000, count=2),), (told,))), PlainView()
    view.show(scene)
    view.show(scene)
    line = "[2:01] told    warning  latency-zscore on t/a: oncall-email (escalated), 2 findings\n"
    assert capsys.readouterr().err.count(line) == 1


def test_the_demonstrations_receivers_take_messages() -> None:
    with Inbox() as inbox:
        body = b'{"status": "firing", "commonLabels": {"alertname": "high-latency", "application_id": "a"}}'
        with urllib.request.urlopen(urllib.request.Request(inbox.webhook_url, body)) as answer:
            assert answer.status == 200
        mail = EmailMessage()
        mail["Subject"] = "[firing] Grüße"
        mail.set_content("a line\n.\nwith a dot alone")
        with smtplib.SMTP("127.0.0.1", inbox.smtp_port) as client:
            client.send_message(mail, "sentinel@localhost", ["oncall@localhost"])
        assert [(r.channel, r.title) for r in inbox.received] == [("webhook", "firing high-latency a"), ("email", "[firing] Grüße")]


def test_the_demonstrations_configuration_is_valid_with_its_addresses(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", webhook_url="http://127.0.0.1:4711/x", smtp_port=2526)
    config = load_config(tmp_path / "c.yaml").config
    receivers = {receiver.name: receiver.config for receiver in config.alerting.receivers}
    assert receivers["default-notifications"].url == "http://127.0.0.1:4711/x"  # type: ignore[attr-defined]
    assert receivers["oncall-email"].smarthost == "127.0.0.1:2526"  # type: ignore[attr-defined]
