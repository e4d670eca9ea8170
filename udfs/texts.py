"""What a vectorised function says about a batch, which is not one thing a record: a batch of N records must give N texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def spread(items: Sequence[str], size: int) -> npt.NDArray[np.object_]:
    """`size` texts that hold the items: one each in the first of them and None in the others; lines of several where there are more items."""
    texts = np.full(size, None, object)
    if len(items) <= size:
        texts[: len(items)] = items
    else:
        texts[:] = ["\n".join(items[place::size]) for place in range(size)]
    return texts
