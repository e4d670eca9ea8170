"""Escalation of one group: who is told when nobody reacts. The clock starts with the first message; acknowledging stops it."""

from __future__ import annotations

from sentinel.alerting.flush import Group
from sentinel.config.runtime import Escalation


def told(group: Group, policy: Escalation | None, firing: bool, now: int) -> None:
    """Somebody was told: the first message that something fires starts the clock."""
    if policy is not None and firing and group.escalation_due is None and group.step == 0:
        group.escalation_due = now + _pause_ms(policy, 0)


def step(group: Group, policy: Escalation | None, now: int) -> list[str]:
    """The step that is due: the receivers to tell now, none when it stopped. Sets when the next one is due."""
    group.escalation_due = None
    firing = group.firing(now)
    if policy is None or not firing or all(alert.acknowledged for alert in firing):
        # The next message that something fires starts from the first step.
        group.step = 0
        return []
    names = list(policy.steps[group.step % len(policy.steps)].receivers)
    group.step += 1
    if has_next(group, policy):
        group.escalation_due = now + _pause_ms(policy, group.step)
    group.reached = list(dict.fromkeys([*group.reached, *names]))
    return names


def follow(group: Group, policy: Escalation | None, now: int) -> None:
    """After a flush: nothing fires any more, so the next trouble starts at the first step."""
    if policy is None or group.firing(now):
        return
    group.step, group.escalation_due = 0, None


def has_next(group: Group, policy: Escalation | None) -> bool:
    """Whether a step is left."""
    return policy is not None and group.step < len(policy.steps) * (1 + policy.repeat)


def _pause_ms(policy: Escalation, number: int) -> int:
    return round(policy.steps[number % len(policy.steps)].after_s * 1000)
