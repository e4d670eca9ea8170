"""A gateway with open doors in a thread of the test, in front of a real Kafka."""

from __future__ import annotations

from tests.support.door_fixtures import broker, common_doors, doors, lonely_doors, loop, open_doors

__all__ = ["broker", "common_doors", "doors", "lonely_doors", "loop", "open_doors"]
