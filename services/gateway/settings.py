"""What the gateway runs with: the configuration's section `ingestion`, and what the command line says of addresses and folders."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from sentinel.config.ingestion import AmqpDoor, Ingestion, IngestRateLimit, ServerTls
from sentinel.config.model import SentinelConfig
from sentinel.events.enrichment import Enrichment
from sentinel.events.normalisation import settings_from as normalisation_of
from sentinel.pricing.table import settings_from as pricing_of
from sentinel.privacy.policy import HashKeyMissingError
from sentinel.privacy.policy import settings_from as privacy_of
from sentinel.privacy.redaction import Redactor
from services.gateway.limits import Limiter, Limits, LocalLimiter, NoLimit, TenantLimit
from services.gateway.shared_limits import SharedLimiter
from services.gateway.tenants import Tokens


class GatewaySettingsError(ValueError):
    """The gateway cannot start like this; the text says what to change."""


@dataclass(frozen=True)
class Ports:
    """Ports to listen on; None: that door stays closed, 0: any free one."""

    grpc: int | None
    http: int | None
    otlp_grpc: int | None
    otlp_http: int | None

    @classmethod
    def of(cls, ingestion: Ingestion) -> Ports:
        """As configured."""
        doors = ingestion.protocols
        return cls(
            doors.grpc.port if doors.grpc.enabled else None,
            doors.http.port if doors.http.enabled else None,
            doors.otlp.grpc_port if doors.otlp.enabled else None,
            doors.otlp.http_port if doors.otlp.enabled else None,
        )


def tokens_of(ingestion: Ingestion, host: str) -> Tokens:
    """The tokens. Raises GatewaySettingsError for doors that are open to other machines and ask for none."""
    tokens = ingestion.authentication.tokens
    if not tokens and not _is_loopback(host):
        raise GatewaySettingsError(
            f"without tokens the doors are open and listen on the loopback interface only, not on {host}: "
            "give ingestion.authentication.tokens, or leave --host out"
        )
    return Tokens(tokens, required=bool(tokens))


def limiter_of(settings: IngestRateLimit) -> Limiter:
    """The limiter that the settings ask for."""
    if not settings.enabled:
        return NoLimit()
    default = TenantLimit(settings.max_events_per_second, settings.burst_size, settings.max_events_per_day)
    own = {
        tenant: TenantLimit(
            rate.max_events_per_second or default.events_per_second,
            rate.burst_size or default.burst,
            rate.max_events_per_day or default.events_per_day,
        )
        for tenant, rate in settings.tenants.items()
    }
    local = LocalLimiter(Limits(default, own, per_tenant=settings.per_tenant))
    if settings.valkey_url is None:
        return local
    return SharedLimiter(
        from_environment(settings.valkey_url, "ingestion.rateLimiting.valkeyUrl"),
        Limits(default, own, per_tenant=settings.per_tenant),
        local,
    )


def enrichment_of(config: SentinelConfig) -> Enrichment:
    """What happens to events at the doors. Raises GatewaySettingsError when values should be hashed and the key is not there: a job masks then, a door that
    has not opened yet can say so.
    """
    snapshot = config.to_snapshot()
    privacy = privacy_of(snapshot)
    try:
        Redactor(privacy)
    except HashKeyMissingError as error:
        raise GatewaySettingsError(str(error)) from None
    return Enrichment(privacy, pricing_of(snapshot), normalisation_of(snapshot))


def certificate_of(tls: ServerTls, door: str) -> tuple[str, str] | None:
    """Certificate and key of a door, None without TLS. Raises GatewaySettingsError."""
    if not tls.enabled:
        return None
    if not tls.cert or not tls.key:
        raise GatewaySettingsError(f"ingestion.protocols.{door}.tls: cert and key are needed when it is enabled")
    for file in (tls.cert, tls.key):
        if not os.access(file, os.R_OK):
            raise GatewaySettingsError(f"ingestion.protocols.{door}.tls: cannot read {file}")
    return tls.cert, tls.key


def amqp_url(settings: AmqpDoor) -> str:
    """Address of the AMQP broker. Raises GatewaySettingsError."""
    if settings.url is not None:
        return from_environment(settings.url, "ingestion.protocols.amqp.url")
    if settings.url_file is None:
        raise GatewaySettingsError("ingestion.protocols.amqp: url or urlFile is needed when it is enabled")
    try:
        return Path(settings.url_file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise GatewaySettingsError(f"ingestion.protocols.amqp: cannot read {settings.url_file}") from None


def overflow_folder(ingestion: Ingestion, data: Path) -> Path | None:
    """Where the overflow lies; None when it is switched off."""
    overflow = ingestion.buffer.overflow
    return data / overflow.path if overflow.enabled else None


def from_environment(reference: str, key: str) -> str:
    """The value of `${NAME}`. Raises GatewaySettingsError naming the key and the variable."""
    variable = reference[2:-1]
    value = os.environ.get(variable)
    if not value:
        raise GatewaySettingsError(f"{key}: environment variable {variable} is not set")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
