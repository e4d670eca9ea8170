"""Replace personal data by a tenant's policy, in texts and in whole documents.

Redacting twice changes nothing: a mask holds no digit and no sign that a rule looks for, and a text in which something was replaced is looked through
again, since a value may stand alone only now.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sentinel.privacy.policy import HashKeyMissingError, PrivacySettings, hash_key
from sentinel.privacy.scanner import Finding, Scanner

_MOST_PASSES = 4
_MOST_LEVELS = 100
_HASH_LETTERS = 16
"""64 bits: two of a million values meet with a chance of one in thirty million."""
_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_LONG_NUMBER = 10**11
"""Numbers from here on are long enough for a card; a JSON number may be one."""
_PSEUDONYM_KEY = b"llm-sentinel pseudonyms of ids"
_log = logging.getLogger(__name__)


class Redacted(NamedTuple):
    """A text and how many values of it were replaced, by kind."""

    text: str
    counts: dict[str, int]


class Redactor:
    """Redacts for all tenants. Keys of tenants are derived from the one key, so that equal values of two tenants have nothing in common."""

    def __init__(self, settings: PrivacySettings) -> None:
        """Raises HashKeyMissingError: a policy says `hash`, and the key is not there."""
        self.settings = settings
        self._scanner = shared_scanner()
        self._hash_key = hash_key(settings)
        self._tenant_keys: dict[tuple[bytes, str], bytes] = {}
        # Asked for every event: the policies themselves would go through all kinds each time.
        self._default_off = settings.default.is_off
        self._off = {tenant: policy.is_off for tenant, policy in settings.tenants.items()}
        if self._hash_key is None and settings.wants_hashes:
            raise HashKeyMissingError("expected ingestion.privacy.hashKey (a reference to an environment variable) or hashKeyFile")

    @classmethod
    def or_masking(cls, settings: PrivacySettings) -> Redactor:
        """As the constructor; without a key it masks what should be hashed and says so, because a running job must neither stop nor let pass."""
        try:
            return cls(settings)
        except HashKeyMissingError as error:
            _log.error("personal data are masked instead of hashed: %s", error)
            return cls(settings.masking())

    def acts_on(self, tenant_id: str) -> bool:
        """Whether anything may change for the tenant."""
        return not self._off.get(tenant_id, self._default_off)

    def concerns(self, text: str, tenant_id: str) -> bool:
        """Whether the text holds anything on which the tenant's policy acts; cheaper than `redact`."""
        policy = self.settings.of(tenant_id)
        found = self._scanner.find_bytes(text.encode("utf-8", "surrogatepass"))
        return bool(found) and any(policy.action_for(finding.kind) != "off" for finding in found)

    def redact(self, text: str, tenant_id: str) -> Redacted:
        """The text as the tenant's policy wants it."""
        return self._redacted(text, tenant_id, is_id=False)

    def redact_id(self, text: str, tenant_id: str) -> Redacted:
        """An identifier (user, session, correlation): what would be masked is hashed, so that two users stay two.

        Without a key of the configuration the hash is a pseudonym: it cannot be read, but a value can be tried.
        """
        return self._redacted(text, tenant_id, is_id=True)

    def _redacted(self, text: str, tenant_id: str, is_id: bool) -> Redacted:
        policy = self.settings.of(tenant_id)
        if policy.is_off:
            return Redacted(text, {})
        data = text.encode("utf-8", "surrogatepass")
        counts: dict[str, int] = {}
        for _ in range(_MOST_PASSES):
            found = self._scanner.find_bytes(data)
            actions = [(finding, action) for finding in found if (action := policy.action_for(finding.kind)) != "off"]
            if not actions:
                break
            for finding, _ in actions:
                counts[finding.kind] = counts.get(finding.kind, 0) + 1
            dropped = sorted({finding.kind.upper() for finding, action in actions if action == "drop"})
            if dropped:
                return Redacted(f"[DROPPED:{','.join(dropped)}]", counts)
            data = self._replaced(data, actions, tenant_id, is_id)
        return Redacted(data.decode("utf-8", "surrogatepass") if counts else text, counts)

    def redact_document(self, document: Any, tenant_id: str, keep: frozenset[str] = frozenset()) -> dict[str, int]:
        """Redact every text, key and long number of a JSON value (dicts and lists) in place; returns counts by kind.

        The values of the keys in `keep` stay, at the top level only. Raises RecursionError below 100 levels: what is not looked at must not pass.
        """
        counts: dict[str, int] = {}
        if self.acts_on(tenant_id):
            self._walk(document, tenant_id, keep, counts, _MOST_LEVELS)
        return counts

    def _walk(self, value: Any, tenant_id: str, keep: frozenset[str], counts: dict[str, int], levels: int) -> None:
        if levels == 0:
            raise RecursionError(f"the document is deeper than {_MOST_LEVELS} levels")
        items: Any = list(value.items()) if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            if key not in keep:
                if isinstance(item, str):
                    value[key] = self._counted(item, tenant_id, counts)
                elif isinstance(item, dict | list):
                    self._walk(item, tenant_id, frozenset(), counts, levels - 1)
                elif (
                    isinstance(item, int)
                    and abs(item) >= _LONG_NUMBER
                    and (text := self._counted(str(item), tenant_id, counts)) != str(item)
                ):
                    value[key] = text
            if isinstance(key, str) and not key.isidentifier() and (name := self._counted(key, tenant_id, counts)) != key:
                value[name] = value.pop(key)

    def _counted(self, text: str, tenant_id: str, counts: dict[str, int]) -> str:
        redacted = self.redact(text, tenant_id)
        add_counts(counts, redacted.counts)
        return redacted.text

    def _replaced(self, data: bytes, actions: Sequence[tuple[Finding, str]], tenant_id: str, is_id: bool) -> bytes:
        parts: list[bytes] = []
        position = 0
        for (kind, start, end), action in actions:
            hashed = b"#" + self._hash(kind, data[start:end], tenant_id) if is_id or action == "hash" else b""
            parts += (data[position:start], b"[", kind.upper().encode(), hashed, b"]")
            position = end
        parts.append(data[position:])
        return b"".join(parts)

    def _hash(self, kind: str, value: bytes, tenant_id: str) -> bytes:
        """Letters only, so that no rule takes a hash for a number. Spelling does not count: `4111 1111` is `4111-1111`, `A@B.org` is `a@b.org`."""
        place = (self._hash_key or _PSEUDONYM_KEY, tenant_id)
        key = self._tenant_keys.get(place)
        if key is None:
            key = self._tenant_keys[place] = hmac.digest(place[0], tenant_id.encode(), hashlib.sha256)
        plain = _SPELLING.get(kind, _without_separators)(value)
        return hmac.digest(key, kind.encode() + b"|" + plain, hashlib.sha256).hex()[:_HASH_LETTERS].encode().translate(_LETTERS)


def add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    """Adds counts by kind."""
    for kind, count in counts.items():
        total[kind] = total.get(kind, 0) + count


def _without_separators(value: bytes) -> bytes:
    return value.translate(None, b" .-/()").lower()


_SPELLING: Mapping[str, Callable[[bytes], bytes]] = {
    "email": lambda value: value.replace(b"%40", b"@").lower(),
    "ip_address": bytes.lower,
    **dict.fromkeys(("password", "secret", "api_key", "jwt", "bearer_token", "private_key", "crypto_address"), bytes),
}


@cache
def shared_scanner() -> Scanner:
    """The scanner of this process."""
    return Scanner()
