"""Ids are UUIDs of version 5, as any library makes them of the same parts."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from sentinel.identity import NAMESPACE, once_key, stable_id


@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers()), min_size=1))
def test_a_stable_id_is_the_uuid5_of_its_parts(parts: list[object]) -> None:
    assert stable_id(*parts) == str(uuid.uuid5(NAMESPACE, "|".join(map(str, parts))))


@given(st.lists(st.tuples(st.text(), st.uuids()), unique=True, min_size=2, max_size=20))
def test_ids_of_one_tenant_or_another_have_keys_of_their_own(named: list[tuple[str, uuid.UUID]]) -> None:
    keys = [once_key(tenant, identity) for tenant, identity in named]
    assert len(set(keys)) == len(named) and {len(key) for key in keys} == {22}
    assert keys == [once_key(tenant, identity) for tenant, identity in named]
