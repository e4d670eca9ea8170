"""Timelines with short waits, each about one or two of the numbered semantics. A real Alertmanager lives through the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROUTE = "receiver: r, group_by: [g], group_wait: 1s, group_interval: 3s, repeat_interval: 1h"


def config(route: str = ROUTE, receivers: str = "r", more: str = "") -> str:
    hooks = "\n".join(f"- {{name: {name}, webhook_configs: [{{url: http://x/}}]}}" for name in receivers.split())
    return f"route: {{{route}}}\nreceivers:\n{hooks}\n{more}\n"


def a(name: str = "A", g: str | None = "1", **more: str) -> dict[str, Any]:
    return {"labels": {"alertname": name} | ({"g": g} if g else {}) | more}


def over(at: float, name: str = "A", g: str | None = "1", **more: str) -> dict[str, Any]:
    return a(name, g, **more) | {"endsAt": at}


def post(at: float, *alerts: dict[str, Any]) -> dict[str, Any]:
    return {"at": at, "post": list(alerts)}


def silence(at: float, until: float, matcher: str, name: str = "s") -> dict[str, Any]:
    return {"at": at, "silence": {"id": name, "matchers": [matcher], "until": until}}


def answers(at: float, name: str, respond: int | str) -> dict[str, Any]:
    return {"at": at, "receiver": {"name": name, "respond": respond}}


@dataclass(frozen=True)
class Scenario:
    """`since` is the first version of Alertmanager that behaves as 0.34 does."""

    name: str
    events: list[dict[str, Any]]
    until: float = 14
    config: str = field(default_factory=config)
    since: tuple[int, int] = (0, 25)

    def timeline(self) -> dict[str, Any]:
        return {"start": "2026-03-02T12:00:00Z", "until": self.until, "events": self.events}


INHIBIT = """inhibit_rules:
- {source_matchers: [severity="critical"], target_matchers: [severity=~"warning|critical"], equal: [g]}"""

SCENARIOS = [
    Scenario("group wait, fixed ticks, whole group", [post(0, a()), post(2.5, a("B")), post(5, over(5, "B"))]),
    Scenario("alerts without the label share a group", [post(0, a(g=None), a("B", g=None), a("C", "2"))]),
    Scenario("an old alert flushes at once", [post(0, a() | {"startsAt": -60}), post(1.5, a("B"))]),
    Scenario("an old alert that joins waits", [post(0, a()), post(0.3, a("B") | {"startsAt": -60})], since=(0, 31)),
    Scenario("resolved within group wait", [post(0, a()), post(0.5, over(0.5)), post(6, a("B")), post(6.4, over(6.4, "B"))]),
    Scenario("resolved and refired within one interval", [post(0, a()), post(1.6, over(1.6)), post(2.6, a())]),
    Scenario("annotations alone send nothing", [post(0, a()), post(2, a() | {"annotations": {"summary": "new"}}), post(5, a("B"))]),
    Scenario("an emptied group is gone at once", [post(0, a()), post(2, over(2)), post(4.6, a())], since=(0, 32)),
    Scenario(
        "repeat rounds up to ticks, a change restarts it",
        [post(0, a()), post(8.5, a("B"))],
        20,
        config(ROUTE.replace("1h", "4s").replace("group_interval: 3s", "group_interval: 3s")),
    ),
    Scenario("an end in the future resolves by itself", [post(0, a() | {"endsAt": 5.5})]),
    Scenario(
        "the resolve timeout ends what is not reported again",
        [post(0, a()), post(4, a())],
        16,
        config(more="global: {resolve_timeout: 5s}"),
    ),
    Scenario(
        "an explicit end survives a report without one",
        [post(0, a() | {"endsAt": 400}), post(2, a())],
        10,
        config(more="global: {resolve_timeout: 3s}"),
    ),
    Scenario(
        "send_resolved false strips the end, a refire is told",
        [post(0, a(), a("B")), post(2, over(2, "B")), post(5.5, over(5.5)), post(9, a())],
        config="route: {" + ROUTE + "}\nreceivers: [{name: r, webhook_configs: [{url: http://x/, send_resolved: false}]}]",
    ),
    Scenario(
        "inhibited until the first tick after the source ends",
        [post(0, a("S", severity="critical"), a("T", severity="warning")), post(5, over(5, "S", severity="critical"))],
        12,
        config(more=INHIBIT),
    ),
    Scenario(
        "two alerts on both sides do not inhibit each other",
        [post(0, a("S", severity="critical"), a("T", severity="critical"))],
        6,
        config(more=INHIBIT),
    ),
    Scenario("never told under a silence, told at the first tick after it", [silence(0, 5.5, 'alertname="A"'), post(0.2, a())], 12),
    Scenario("told, silenced, and not told again when it ends", [post(0, a()), silence(2, 6, 'alertname="A"'), post(9, a("B"))], 14),
    Scenario(
        "over under a silence: no word, and none of the refire",
        [post(0, a()), silence(2, 8, 'alertname="A"'), post(3, over(3)), post(9, a())],
        15,
    ),
    Scenario("expiring a silence", [silence(0, 60, 'alertname="A"'), post(0.2, a()), {"at": 5, "expire": "s"}], 12),
    Scenario("a silence covers one of two", [silence(0, 60, 'alertname="A"'), post(0.2, a(), a("B"))], 8),
    Scenario("400 is tried again at each interval only", [answers(0, "r", 400), post(0.1, a()), answers(6, "r", 200)], 12),
    Scenario("429 is not tried again for a webhook", [answers(0, "r", 429), post(0.1, a()), answers(5, "r", 200)], 10),
    Scenario(
        "a sibling is not repeated while the other fails",
        [answers(0, "x", 400), post(0.1, a()), answers(6, "x", 200)],
        12,
        config(
            "receiver: r, group_by: [g], group_wait: 1s, group_interval: 3s, repeat_interval: 1h, "
            "routes: [{receiver: x, continue: true, matchers: [alertname=A]}, {receiver: r, matchers: [alertname=A]}]",
            "r x",
        ),
    ),
    Scenario(
        "a hanging receiver blocks its own group only",
        [answers(0, "r", "timeout"), post(0.1, a()), post(0.1, a("B", "2")), answers(5, "r", 200)],
        16,
    ),
    Scenario(
        "a resolved alert stays until its end was delivered",
        [post(0, a()), answers(2, "r", 400), post(2.2, over(2.2)), answers(9, "r", 200)],
        14,
    ),
    Scenario("SIGTERM keeps the log", [post(0, a()), {"at": 2.5, "restart": "term"}, post(4, a() | {"startsAt": 0}), post(6, a("B"))], 14),
    Scenario("SIGKILL forgets the log", [post(0, a()), {"at": 2.5, "restart": "kill"}, post(4, a() | {"startsAt": 0})], 9),
    Scenario(
        "a muted route still stops its siblings",
        [post(0, a())],
        6,
        config(
            ROUTE + ", routes: [{receiver: x, matchers: [alertname=A], mute_time_intervals: [always]}, {receiver: r}]",
            "r x",
            "time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]",
        ),
    ),
    Scenario(
        "outside active time nobody is told",
        [post(0, a())],
        6,
        config(
            ROUTE + ", routes: [{receiver: x, matchers: [alertname=A], active_time_intervals: [never]}]",
            "r x",
            "time_intervals: [{name: never, time_intervals: [{years: ['1999']}]}]",
        ),
    ),
    Scenario(
        "intervals are not inherited, waits are",
        [post(0, a(team="ml"))],
        6,
        config(
            ROUTE + ", routes: [{receiver: x, matchers: [alertname=A], mute_time_intervals: [always], routes: [{matchers: [team=ml]}]}]",
            "r x",
            "time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]",
        ),
    ),
    Scenario(
        "a child's empty group_by overrides",
        [post(0, a(), a("B", "2"))],
        6,
        config(ROUTE + ", routes: [{receiver: x, matchers: [alertname=~'A|B'], group_by: []}]", "r x"),
        since=(0, 31),
    ),
    Scenario(
        "grouping by every label",
        [post(0, a(), a("B"))],
        6,
        config(ROUTE.replace("[g]", "['...']")),
    ),
]
