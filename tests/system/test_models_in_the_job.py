"""A model is trained on what the job stored, runs in shadow, and is promoted, and outlives a cut successor: all while the job runs."""

from __future__ import annotations

import copy
import json
from uuid import uuid4

import numpy as np
import pytest

from tests.support.configuration import configuration
from tests.support.receivers import Receivers
from tests.support.stack import Stack
from tests.support.streams import Sent
from tests.support.telemetry import MINUTE_MS, Segments, record, response
from tests.support.waiting import wait_for

pytestmark = pytest.mark.stack

TRAINING_MINUTES = 300
CALLS_A_MINUTE = 24
APPLICATION = "chat"
TROUBLE = range(6, 9)
"""Minutes of a judged stretch in which calls are slow."""


def _calls(tenant: str, start_ms: int, minutes: int, seed: int, slow: range = range(0)) -> list[Sent]:
    rng = np.random.default_rng(seed)
    found = []
    for call in range(minutes * CALLS_A_MINUTE):
        at_ms = start_ms + call * MINUTE_MS // CALLS_A_MINUTE
        latency = float(rng.lognormal(6.0, 0.3)) * (6.0 if call // CALLS_A_MINUTE in slow else 1.0)
        tokens = int(rng.integers(80, 120))
        content = response(
            at_ms, tenant, APPLICATION, latency_ms=round(latency, 1), total_tokens=tokens, completion_tokens=tokens - 50, prompt_tokens=50
        )
        found.append(record(content, at_ms))
    return found


def _shadow(stack: Stack, tenant: str) -> int:
    return int(stack.value("SELECT count(*) FROM sentinel.shadow_anomalies WHERE tenant_id = %s", tenant))


def _raised(stack: Stack, tenant: str) -> set[str]:
    sql = "SELECT record -> 'labels' ->> 'model_version' FROM sentinel.anomalies WHERE tenant_id = %s AND detector_id = 'odd-minutes'"
    return {row[0] for row in stack.rows(sql, tenant)}


def _put_cut_version_in_force(stack: Stack, tenant: str) -> None:
    """As after a disk that was full: the index names a version whose file is not whole. No command does that."""
    stack.sentinel("models", "train", "kmeans", "--name", "panes", "--tenant", tenant, "--since", "2d")
    (folder,) = (path.parent.parent for path in stack.home.rglob("panes/2/model.npz"))
    whole = folder / "2" / "model.npz"
    whole.write_bytes(whole.read_bytes()[:-200])
    refused = stack.sentinel("models", "promote", "panes", "2", ok=False)
    assert refused.returncode != 0 and b"the file was cut or altered" in refused.stderr
    index = folder / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"promoted": 2}))


def test_trained_on_stored_panes_shadowed_and_promoted_without_a_restart(stack: Stack, segments: Segments, receivers: Receivers) -> None:
    base = configuration(receivers)
    changed = copy.deepcopy(base)
    items = changed["detection"]["detectors"]["items"]
    items.append(
        {"id": "odd-minutes", "type": "ml", "strategy": "kmeans", "config": {"model": "panes"}, "actions": [{"alert": "odd-minutes"}]}
    )
    stack.apply(changed)
    tenant = f"models-{uuid4().hex[:8]}"
    try:
        start_ms = segments.take(TRAINING_MINUTES + 5)
        stack.send_closed(_calls(tenant, start_ms, TRAINING_MINUTES, 1), start_ms, start_ms + TRAINING_MINUTES * MINUTE_MS)
        counted = "SELECT count(*) FROM sentinel.rollups_1m WHERE tenant_id = %s"
        wait_for(
            lambda: stack.value(counted, tenant), 180, "the minutes to train on", until=lambda count: count >= TRAINING_MINUTES, pause_s=2.0
        )
        said = stack.sentinel("models", "train", "kmeans", "--name", "panes", "--tenant", tenant, "--since", "2d").stdout.decode()
        assert "1 keys" in said
        assert "were told" in stack.sentinel("models", "shadow", "panes", "1").stdout.decode()

        start_ms = segments.take(15)
        stack.send_closed(_calls(tenant, start_ms, 10, 2, TROUBLE), start_ms, start_ms + 10 * MINUTE_MS)
        wait_for(lambda: _shadow(stack, tenant), 180, "findings of the shadow", until=bool, pause_s=2.0)
        assert _raised(stack, tenant) == set(), "a shadow raises nothing"
        before = _shadow(stack, tenant)
        assert "would have raised" in stack.sentinel("models", "compare", "panes", "--since", "2d").stdout.decode()

        assert "were told" in stack.sentinel("models", "promote", "panes", "1").stdout.decode()
        start_ms = segments.take(15)
        stack.send_closed(_calls(tenant, start_ms, 10, 3, TROUBLE), start_ms, start_ms + 10 * MINUTE_MS)
        assert wait_for(lambda: _raised(stack, tenant), 180, "an anomaly of the promoted model", until=bool, pause_s=2.0) == {"panes/1"}
        assert _shadow(stack, tenant) == before

        _put_cut_version_in_force(stack, tenant)
        stack.apply(changed)
        start_ms = segments.take(15)
        stack.send_closed(_calls(tenant, start_ms, 10, 4, TROUBLE), start_ms, start_ms + 10 * MINUTE_MS)
        again = "SELECT DISTINCT record -> 'labels' ->> 'model_version' FROM sentinel.anomalies WHERE tenant_id = %s AND first_seen >= to_timestamp(%s)"
        found = wait_for(
            lambda: stack.rows(again, tenant, start_ms / 1000), 180, "an anomaly of the version before", until=bool, pause_s=2.0
        )
        assert found == [("panes/1",)]
        told = "version 1 stays in force"
        assert any(told in path.read_text(errors="replace") for path in stack.layout.logs.glob("taskmanager*")), "the log says why"
        stack.require_undisturbed("standalone")
    finally:
        stack.apply(base)
