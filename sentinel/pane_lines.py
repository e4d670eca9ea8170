"""Panes as text lines: how closed panes cross from SQL to the keyed Python operator, all panes of a shard's second in one record.

Tab-separated: `pane`, start (epoch ms), tenant, application, model, the exemplars, the sums and histogram words; or `users`, start, tenant,
application, busiest user (zero-padded count and id), number of users, events;
or `fact` and JSON (`sentinel.detection.facts`). Ids hold no tab or line break: the door refuses them.
"""

from __future__ import annotations

from sentinel.detection.facts import Fact, parse_fact
from sentinel.events.folding import EXEMPLAR_DIGITS, EXEMPLARS, PANE_SUMS
from sentinel.panes import PANE_WIDTH_MS, USER_PANE_WIDTH_MS, Pane, UserPane, unpack_histogram

_FIRST_SUM = 5 + len(EXEMPLARS)
_FIRST_WORD = _FIRST_SUM + len(PANE_SUMS)


def parse_panes(lines: str) -> list[Pane | UserPane | Fact]:
    """The panes and facts of one record; raises ValueError for a line of another shape, which would be a fault of the SQL that made it."""
    return [_parsed(line) for line in lines.split("\n")]


def _parsed(line: str) -> Pane | UserPane | Fact:
    if line.startswith("fact"):
        return parse_fact(line)
    fields = line.split("\t")
    return _user_pane(fields) if fields[0] == "users" else _pane(fields)


def _pane(fields: list[str]) -> Pane:
    sums = dict(zip(PANE_SUMS, map(int, fields[_FIRST_SUM:_FIRST_WORD]), strict=True))
    latency, tokens, cost, any_event = fields[5:_FIRST_SUM]
    return Pane(
        tenant_id=fields[2],
        application_id=fields[3],
        model=fields[4],
        start_ms=int(fields[1]),
        width_ms=PANE_WIDTH_MS,
        latency_max_us=_number(latency),
        latency_max_event=latency[EXEMPLAR_DIGITS:],
        token_max=_number(tokens),
        token_max_event=tokens[EXEMPLAR_DIGITS:],
        cost_max_nano=_number(cost),
        cost_max_event=cost[EXEMPLAR_DIGITS:],
        first_event=any_event,
        latency_hist=unpack_histogram([int(word) for word in fields[_FIRST_WORD:]]),
        **sums,
    )


def _user_pane(fields: list[str]) -> UserPane:
    _, start_ms, tenant, application, busiest, users, events = fields
    return UserPane(
        tenant_id=tenant,
        application_id=application,
        start_ms=int(start_ms),
        width_ms=USER_PANE_WIDTH_MS,
        users=int(users),
        events=int(events),
        top_user=busiest[EXEMPLAR_DIGITS:],
        top_user_events=_number(busiest),
    )


def _number(exemplar: str) -> int:
    return int(exemplar[:EXEMPLAR_DIGITS]) if exemplar else 0
