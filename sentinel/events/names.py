"""Small numbers for the names in events: what is looked up for every event is looked up by one number, on whole columns.

A number is given when a name first comes. What else follows from a name (its shard, its hash, the form in which it travels on) is computed then, once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import xxhash

from sentinel.events.model import UNKNOWN_MODEL
from sentinel.memo import Memo
from sentinel.panes import shard_of

IntColumn = npt.NDArray[np.int64]
Key = tuple[str, str, str]
"""(tenant, application, model)"""

NOBODY = 0
"""The number of the user of an event that names none."""

_LIMIT = 200_000


class _Table:
    """Numbers by number, in an array that grows."""

    def __init__(self) -> None:
        self._values = np.empty(1024, np.int64)
        self._size = 0

    def append(self, value: int) -> None:
        if self._size == len(self._values):
            self._values = np.concatenate((self._values, np.empty_like(self._values)))
        self._values[self._size] = value
        self._size += 1

    @property
    def values(self) -> IntColumn:
        return self._values[: self._size]


class Names:
    """Numbers of keys and users, for as long as one instance lives.

    `model_name` and `user_name` give the form in which a model (by its name) and a user (by tenant and id) travel on. Names that share that form
    share a number.
    """

    def __init__(self, model_name: Callable[[str], str] = str, user_name: Callable[[tuple[str, str]], str] = lambda key: key[1]) -> None:
        self._model_name, self._user_name = model_name, user_name
        self.key_numbers: Memo[tuple[str, str, str | None], int] = Memo(self._give_key)
        """(tenant, application, model as sent or None) → number"""
        self.keys: list[Key] = []
        self.applications: list[tuple[str, str]] = []
        self._key_of: dict[Key, int] = {}
        self._application_of: dict[tuple[str, str], int] = {}
        self._shards, self._key_applications = _Table(), _Table()
        self.user_numbers: Memo[tuple[str, str], int] = Memo(self._give_user)
        """(tenant, user id as sent) → number"""
        self.users: list[str] = [""]
        self._user_of: dict[str, int] = {"": NOBODY}
        self._hashes = _Table()
        self._hashes.append(0)

    @property
    def full(self) -> bool:
        """Whether it is time for a new instance: hostile names must not fill the memory."""
        return len(self.key_numbers) > _LIMIT or len(self.user_numbers) > _LIMIT

    @property
    def shards(self) -> IntColumn:
        """The shard of each key."""
        return self._shards.values

    @property
    def key_applications(self) -> IntColumn:
        """The number of each key's application in `applications`."""
        return self._key_applications.values

    @property
    def user_hashes(self) -> IntColumn:
        """A 64-bit hash of each user, the same in every process."""
        return self._hashes.values

    def _give_key(self, sent: tuple[str, str, str | None]) -> int:
        tenant, application, model = sent
        key = (tenant, application, self._model_name(model) if model else UNKNOWN_MODEL)
        number = self._key_of.get(key)
        if number is None:
            number = self._key_of[key] = len(self.keys)
            self.keys.append(key)
            self._shards.append(shard_of(tenant, application))
            owner = self._application_of.setdefault((tenant, application), len(self.applications))
            if owner == len(self.applications):
                self.applications.append((tenant, application))
            self._key_applications.append(owner)
        return number

    def _give_user(self, sent: tuple[str, str]) -> int:
        user = _clean(self._user_name(sent))
        number = self._user_of.get(user)
        if number is None:
            number = self._user_of[user] = len(self.users)
            self.users.append(user)
            self._hashes.append(xxhash.xxh64_intdigest(user.encode("utf-8", "surrogatepass")) - 2**63)
        return number


def _clean(user: str) -> str:
    """A user id as it may travel on: a producer's control characters would break lines and database texts."""
    return user if user.isprintable() else user.encode("unicode_escape").decode()
