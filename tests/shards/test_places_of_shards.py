"""Shards lie evenly in the subtasks of a job, as Flink places them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from jobs.stages.environment import MAX_PARALLELISM
from sentinel.alerting import blocks
from sentinel.panes import SHARDS
from services.stack.java import java_home

PANE_SUBTASKS, ALERT_SUBTASKS = (2, 4, 8), (2, 4, 8, 16, 32)
NAMES = [f"{number // 2:x}{letter}" for number, letter in enumerate(blocks.SHARD_LETTERS)]
ASK_FLINK = """
import json, sys
from pyflink.java_gateway import get_gateway

flink = get_gateway().jvm.org.apache.flink
place = flink.runtime.state.KeyGroupRangeAssignment.assignKeyToParallelOperator

def subtask(key, parallelism):
    row = flink.types.Row(1)
    row.setField(0, key)
    return place(row, int(sys.argv[1]), parallelism)

print(json.dumps([[subtask(key, parallelism) for key in keys] for keys, parallelism in json.loads(sys.argv[2])]))
"""
"""The keyed operators' keys are rows of one column (`jobs.stages.environment.keyed_rows`)."""


@pytest.fixture(scope="module")
def subtasks() -> dict[tuple[str, int], Counter[int]]:
    """How many shards of panes and alerts each subtask has, by parallelism."""
    asked = [("panes", SHARDS, parallelism) for parallelism in PANE_SUBTASKS] + [
        ("alerts", NAMES, parallelism) for parallelism in ALERT_SUBTASKS
    ]
    command = [sys.executable, "-c", ASK_FLINK, str(MAX_PARALLELISM), json.dumps([[keys, parallelism] for _, keys, parallelism in asked])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "JAVA_HOME": str(java_home())})
    told = json.loads(done.stdout.splitlines()[-1])
    return {(what, parallelism): Counter(places) for (what, _, parallelism), places in zip(asked, told, strict=True)}


@pytest.mark.parametrize("parallelism", PANE_SUBTASKS)
def test_each_subtask_has_as_many_shards_of_panes(subtasks: dict[tuple[str, int], Counter[int]], parallelism: int) -> None:
    assert subtasks["panes", parallelism] == dict.fromkeys(range(parallelism), len(SHARDS) // parallelism)


@pytest.mark.parametrize("parallelism", ALERT_SUBTASKS)
def test_each_subtask_has_as_many_shards_of_alerts(subtasks: dict[tuple[str, int], Counter[int]], parallelism: int) -> None:
    assert {blocks.shard_of(str(number)) for number in range(2_000)} == set(NAMES)
    assert subtasks["alerts", parallelism] == dict.fromkeys(range(parallelism), len(NAMES) // parallelism)
