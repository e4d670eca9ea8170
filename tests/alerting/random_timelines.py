"""Alertmanager configurations and timelines drawn by a seeded generator: routes, matchers, inhibition, silences, refusals and restarts.

Events happen at whole seconds and the ticks of groups at halves, so that no order is left to chance. What has a random wait in Alertmanager
(retries after 500 and time-outs) is not drawn, nor an alert twice in one post, nor two inhibiting alerts that are equal (semantic 24: it knows only one).
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

from scenarios import Scenario

from sentinel.alerting.routing import build_tree
from sentinel.alerting.trial import load_trial

RECEIVERS = ("r", "x", "y", "z")
VALUES = {"alertname": ("A", "B", "C"), "g": ("1", "2", ""), "severity": ("critical", "warning"), "team": ("ml", "web", "")}
MATCHERS = (
    *("alertname=A", 'alertname!="B"', "alertname=~A|B", 'alertname!~"C|D"', "g=1", 'g=""', "g!=2", "g=~.+", 'severity="critical"'),
    *(
        "severity=~crit.*",
        'severity!="warning"',
        "team=ml",
        "team!=ml",
        "team=~ml|web",
        'team!~"w.b"',
        "team=~",
        'team=""',
        "alertname=~.*",
    ),
)
GROUP_BY = (["g"], ["alertname"], ["g", "team"], ["..."], ["absent"])
UNTIL_S = 24


def draw(seed: int) -> Scenario:
    """The scenario of a seed; every seed gives the same one for ever."""
    dice = random.Random(seed)
    config = {"route": _root(dice), "receivers": _receivers(dice), "inhibit_rules": _inhibitions(dice), "global": {"resolve_timeout": "9s"}}
    config["time_intervals"] = [{"name": "never", "time_intervals": [{"years": ["1999"]}]}, {"name": "always", "time_intervals": [{}]}]
    return Scenario(f"seed {seed}", _events(dice), UNTIL_S, json.dumps(config), since=(0, 34))


def draw_labels(dice: random.Random) -> dict[str, str]:
    if dice.random() < 0.2:
        return {"alertname": "S", "g": dice.choice("12")}
    labels = {name: dice.choice(values) for name, values in VALUES.items()}
    return {name: value for name, value in labels.items() if value}


def routes_that_differ(amtool: str, seed: int, label_sets: int, folder: Path) -> list[str]:
    """Label sets whose receivers amtool and we find otherwise, for the configuration of a seed."""
    (file := folder / f"{seed}.yml").write_text(draw(seed).config)
    tree, dice, found = build_tree(load_trial(file).config), random.Random(seed), []
    for labels in (draw_labels(dice) for _ in range(label_sets)):
        arguments = [f"{name}={value}" for name, value in labels.items()]
        command = [amtool, "config", "routes", "test", f"--config.file={file}", *arguments]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        ours = ",".join(name for route in tree.resolve(labels) for name in route.receivers)
        found += [] if ours == theirs else [f"seed {seed}: {labels}: ours {ours}, amtool {theirs}"]
    return found


def _root(dice: random.Random) -> dict[str, Any]:
    root = {"receiver": "r", "group_by": dice.choice(GROUP_BY), "group_wait": "1500ms", "group_interval": "3s", "repeat_interval": "1h"}
    return root | {"routes": [_route(dice, depth=1) for _ in range(dice.randint(1, 3))]}


def _route(dice: random.Random, depth: int) -> dict[str, Any]:
    route: dict[str, Any] = {"matchers": dice.sample(MATCHERS, dice.choice((1, 1, 2)))}
    if dice.random() < 0.15:
        route = {"match_re": {"team": "ml|w.*"}, "match": {"severity": "warning"}}
    if dice.random() < 0.7:
        route["receiver"] = dice.choice(RECEIVERS)
    if dice.random() < 0.5:
        route["continue"] = True
    if dice.random() < 0.3:
        route["group_by"] = dice.choice((*GROUP_BY, []))
    if dice.random() < 0.2:
        route |= {"group_wait": dice.choice(("500ms", "2500ms")), "group_interval": dice.choice(("2s", "4s")), "repeat_interval": "4700ms"}
    if dice.random() < 0.15:
        route[dice.choice(("mute_time_intervals", "active_time_intervals"))] = [dice.choice(("never", "always"))]
    if depth < 3 and dice.random() < 0.5:
        route["routes"] = [_route(dice, depth + 1) for _ in range(dice.randint(1, 2))]
    return route


def _receivers(dice: random.Random) -> list[dict[str, Any]]:
    hooks = {name: {"url": "http://x/", "send_resolved": dice.random() < 0.8} for name in RECEIVERS}
    return [
        {"name": name} if name == "z" and dice.random() < 0.3 else {"name": name, "webhook_configs": [hooks[name]]} for name in RECEIVERS
    ]


def _inhibitions(dice: random.Random) -> list[dict[str, Any]]:
    rules = []
    for equal in dice.sample((["g"], ["team", "g"], ["alertname"]), dice.randint(0, 2)):
        rules.append({"source_matchers": ["alertname=S"], "target_matchers": [dice.choice(MATCHERS)], "equal": equal})
    return rules


def _events(dice: random.Random) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    known: list[dict[str, str]] = []
    silences: list[str] = []
    restarted = False
    for at in range(UNTIL_S - 4):
        if (roll := dice.random()) < 0.4 or at == 0:
            posted = [_alert(dice, known, at) for _ in range(dice.randint(1, 3))]
            events.append({"at": at, "post": list({json.dumps(alert["labels"]): alert for alert in posted}.values())})
        elif roll < 0.5:
            silences.append(f"s{at}")
            matchers = dice.sample(
                [text for text in MATCHERS if text not in ('g=""', 'team=""', "team=~", "alertname=~.*")], dice.choice((1, 1, 2))
            )
            if any("!" not in text for text in matchers):
                until = at + dice.randint(2, 12)
                events.append({"at": at, "silence": {"id": silences[-1], "matchers": matchers, "until": until}})
                if dice.random() < 0.3 and until - at > 3 and not restarted:
                    events.append({"at": at + 2, "expire": silences[-1]})
        elif roll < 0.57:
            events.append({"at": at, "receiver": {"name": dice.choice(RECEIVERS), "respond": dice.choice((200, 200, 400, 429))}})
        elif roll < 0.6 and not restarted and at > 2:
            restarted = True
            events.append({"at": at, "restart": dice.choice(("term", "kill"))})
    order = {"restart": 0}
    return sorted(events, key=lambda event: (event["at"], *(order.get(kind, 1) for kind in event if kind != "at")))


def _alert(dice: random.Random, known: list[dict[str, str]], at: int) -> dict[str, Any]:
    labels = dice.choice(known) if known and dice.random() < 0.5 else draw_labels(dice)
    known.append(labels)
    alert: dict[str, Any] = {"labels": labels, "annotations": {"note": str(at)}}
    if (roll := dice.random()) < 0.35:
        alert["endsAt"] = at
    elif roll < 0.5:
        alert["endsAt"] = at + dice.randint(1, 8)
    return alert
