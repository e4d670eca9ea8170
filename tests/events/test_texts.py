"""What a vectorised function says about a batch."""

from __future__ import annotations

import pytest

from udfs.texts import spread


@pytest.mark.parametrize(
    ("items", "size", "texts"),
    [
        ([], 2, [None, None]),
        (["a"], 2, ["a", None]),
        (["a", "b"], 2, ["a", "b"]),
        (["a", "b", "c"], 2, ["a\nc", "b"]),
        (["a", "b", "c"], 1, ["a\nb\nc"]),
    ],
)
def test_every_item_is_in_one_of_as_many_texts_as_records(items: list[str], size: int, texts: list[str | None]) -> None:
    assert spread(items, size).tolist() == texts
