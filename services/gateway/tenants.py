"""Who sends: the token of a request, and the tenants that it speaks for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sentinel.config.ingestion import DoorToken
from services.gateway.records import UnauthenticatedError, UnknownTenantError

DEFAULT_TENANT = "default"
_BAD_NAME = "|"


class Principal(NamedTuple):
    """`tenant_id` is written into events that name none; `allowed` are the tenants that events may name, None for all (open doors)."""

    tenant_id: str
    allowed: frozenset[str] | None


class TokenError(ValueError):
    """A token of the configuration cannot be used; the text names its tenant, never the token."""


class Tokens:
    """Answers whose token it is. Tokens are kept as SHA-256 only, so that looking one up reveals nothing by its timing."""

    def __init__(self, tokens: Sequence[DoorToken], *, required: bool) -> None:
        self.required = required
        self._by_hash: dict[str, Principal] = {}
        for token in tokens:
            names = tuple(token.tenants)
            self._by_hash[_hash_of(token)] = Principal(names[0], frozenset(names))

    def principal(self, credentials: str | None, tenant: str | None) -> Principal:
        """`credentials` as in an Authorization header (`Bearer T`, `Basic base64(name:T)`) or a bare token; `tenant` is the one that the request names.

        Raises UnauthenticatedError or UnknownTenantError.
        """
        if not self.required:
            return Principal(_name(tenant) if tenant else DEFAULT_TENANT, None)
        token = _token(credentials)
        if token is None:
            raise UnauthenticatedError("a token is needed: Authorization: Bearer TOKEN", field="authorization")
        found = self._by_hash.get(hashlib.sha256(token.encode()).hexdigest())
        if found is None:
            raise UnauthenticatedError("nobody has this token", field="authorization")
        if not tenant or tenant == found.tenant_id:
            return found
        if found.allowed is not None and tenant not in found.allowed:
            raise UnknownTenantError(f"the token does not speak for tenant {tenant[:100]!r}", field="x-sentinel-tenant")
        return Principal(tenant, found.allowed)


def _name(tenant: str) -> str:
    if len(tenant) > 256 or not tenant.isprintable() or _BAD_NAME in tenant:
        raise UnknownTenantError("expected a tenant of 1 to 256 printable characters without '|'", field="x-sentinel-tenant")
    return tenant


def _token(credentials: str | None) -> str | None:
    if not credentials:
        return None
    scheme, _, rest = credentials.strip().partition(" ")
    if not rest:
        return scheme or None
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            # Langfuse's clients send public:secret; the secret is the token.
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _hash_of(token: DoorToken) -> str:
    if token.sha256 is not None:
        return token.sha256.lower()
    name = token.tenants[0]
    if token.token is not None:
        variable = token.token[2:-1]
        text = os.environ.get(variable)
        if not text:
            raise TokenError(f"token of tenant {name!r}: environment variable {variable} is not set")
    else:
        try:
            text = Path(str(token.token_file)).read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise TokenError(f"token of tenant {name!r}: cannot read {token.token_file}") from None
    return hashlib.sha256(text.encode()).hexdigest()
