"""Identifiers. Each is a function of the data alone, so that a replay or another worker makes the same one; only `new_event_id` is not."""

from __future__ import annotations

import os
import uuid
from base64 import b64encode
from hashlib import blake2b, sha1

NAMESPACE = uuid.UUID("6f1f3b1e-5c0a-5d0e-9a55-5e27ab1e0001")
_NAMESPACE = NAMESPACE.bytes


def stable_id(*parts: object) -> str:
    """UUIDv5 of the parts joined by `|` in the product's namespace."""
    # What `str(uuid.uuid5(...))` gives, in half of its time: an alert needs three.
    digest = sha1(_NAMESPACE + "|".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
    variant = f"{int(digest[16], 16) & 3 | 8:x}"
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def record_event_id(topic: str, partition: int, offset: int) -> str:
    """The id of an event that its producer gave none: a function of its place in Kafka."""
    return stable_id("event", topic, partition, offset)


def once_key(tenant_id: str, event_id: uuid.UUID) -> str:
    """A name for an event id of a tenant in 22 characters (a digest of 128 bits): millions of them are kept where each id may pass once."""
    digest = blake2b(tenant_id.encode("utf-8", "surrogatepass") + event_id.bytes, digest_size=16).digest()
    return b64encode(digest)[:22].decode()


def new_event_id(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562): the milliseconds, then 74 random bits. For an event that its producer gave no id, at our doors."""
    random = int.from_bytes(os.urandom(10), "big")
    value = now_ms << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value & (1 << 128) - 1))
