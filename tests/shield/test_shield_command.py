"""`sentinel shield`: the reference server as a process, and enforcing, listing and revoking by hand."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.storage.migrate import upgrade
from tests.support.postgres import running_postgres

COMMAND = [sys.executable, "-m", "services.cli.main", "shield"]


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with running_postgres() as server:
        database = server.database("shield")
        upgrade(database)
        yield database


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    process = subprocess.Popen([*COMMAND, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["event"] == "listening"
        yield first["endpoint"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def shield(*arguments: str, dsn: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SENTINEL_POSTGRES_DSN": dsn}
    return subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_by_hand_from_enforcing_to_revoking(dsn: str, endpoint: str) -> None:
    given = ["user:u-1", "user:u-2", "--tenant", "acme", "--action", "block", "--reason", "leaked key", "--endpoint", endpoint]
    done = shield("enforce", *given, dsn=dsn)
    assert done.returncode == 0, done.stderr
    ids = re.findall(r"^(\S+) acme/user:u-[12]: enforced$", done.stdout, re.MULTILINE)
    assert len(ids) == 2
    revoked = shield("revoke", ids[0], "--endpoint", endpoint, dsn=dsn)
    assert revoked.stdout == f"{ids[0]}: revoked\n"
    listed = json.loads(shield("actions", "-o", "json", dsn=dsn).stdout)
    assert [(row["action_id"], row["kind"], row["reason"]) for row in listed] == [(ids[1], "block", "leaked key")]
    everything = json.loads(shield("actions", "--all", "-o", "json", dsn=dsn).stdout)
    assert sorted(row["state"] for row in everything) == ["enforced", "revoked"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("enforce", "nobody", "--tenant", "acme", "--action", "block", "--reason", "x"),
            "expected a target such as user:u-17, found 'nobody'",
        ),
        (("enforce", "user:u", "--tenant", "acme", "--action", "block", "--reason", "x", "--duration", "soon"), "expected a duration"),
        (("revoke", "a-1", "--endpoint", "127.0.0.1:1"), "UNAVAILABLE"),
    ],
)
def test_a_mistake_is_one_sentence(dsn: str, endpoint: str, arguments: tuple[str, ...], told: str) -> None:
    more = () if "--endpoint" in arguments else ("--endpoint", endpoint)
    done = shield(*arguments, *more, dsn=dsn)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
