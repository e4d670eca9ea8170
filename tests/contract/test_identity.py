"""Ids are UUIDs of version 5, as any library makes them of the same parts."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from sentinel.identity import NAMESPACE, stable_id


@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers()), min_size=1))
def test_a_stable_id_is_the_uuid5_of_its_parts(parts: list[object]) -> None:
    assert stable_id(*parts) == str(uuid.uuid5(NAMESPACE, "|".join(map(str, parts))))
