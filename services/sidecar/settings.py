"""What a sidecar runs with: its configuration with the references in it resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from sentinel.config.environment import environment_overrides, merged
from sentinel.config.load import parse_config, read_text
from sentinel.config.model import SentinelConfig
from sentinel.config.sidecar import ForwardTarget, SidecarRetry
from sentinel.config.sidecar_view import LOCAL_STRATEGIES, SidecarView, view_of
from sentinel.config.storage import ClientTls
from sentinel.events.selection import Selection, TraceSample
from sentinel.pricing.table import PricingSettings
from services.gateway.settings import GatewaySettingsError, from_environment

RING_SIZE = 1_000
SCHEMES = {"grpc": ("grpc", "grpcs"), "http": ("http", "https")}


@dataclass(frozen=True)
class Target:
    """The gateway: `address` is host:port, `token` reads the token anew."""

    address: str
    secure: bool
    protocol: Literal["grpc", "http"]
    tls: ClientTls
    timeout_s: float
    token: Callable[[], str | None]


@dataclass(frozen=True)
class SidecarSettings:
    """See the configuration's sections `application`, `ingestion`, `detection`, `forwarding`, `cache` and `health`."""

    application_id: str | None
    namespace: str | None
    tenant: str | None
    grpc_port: int
    unix_socket: str | None
    ring_size: int
    drop_policy: Literal["oldest", "newest"]
    batch_size: int
    batch_wait_s: float
    target: Target
    gzip: bool
    retry: SidecarRetry
    link: Target | None
    """Where to follow the centre; None: it is not followed."""
    centre_rules: bool
    """Whether rules and privacy policies are those of the centre, once it has told them."""
    selection: Selection
    sample: TraceSample
    strategies: frozenset[str]
    cache_size: int
    cache_ttl_s: float
    health_port: int
    health_path: str
    view: SidecarView

    @classmethod
    def of(cls, config: SentinelConfig) -> SidecarSettings:
        """Raises GatewaySettingsError naming the key."""
        if config.forwarding is None:
            raise GatewaySettingsError("forwarding.central.endpoint is needed: the gateway to send to (or --central host:port)")
        forwarding, ingestion, detection = config.forwarding, config.ingestion, config.detection
        application, batching, cache, health = config.application, ingestion.batching, config.cache, config.health
        target = _target(forwarding.central)
        wanted, passed = forwarding.filters, forwarding.sampling
        tenant = application.tenant if application is not None else None
        return cls(
            application_id=_resolved(application.id, "application.id") if application is not None else None,
            namespace=_resolved(application.namespace, "application.namespace")
            if application is not None and application.namespace
            else None,
            tenant=tenant,
            grpc_port=ingestion.local.grpc.port if ingestion.local is not None else 9090,
            unix_socket=ingestion.local.grpc.unix_socket if ingestion.local is not None else None,
            ring_size=ingestion.buffer.size if "size" in ingestion.buffer.model_fields_set else RING_SIZE,
            drop_policy=ingestion.buffer.drop_policy,
            batch_size=1 if batching is not None and not batching.enabled else batching.size if batching is not None else 100,
            batch_wait_s=batching.timeout if batching is not None else 1.0,
            target=target,
            gzip=forwarding.compression.enabled and forwarding.compression.algorithm == "gzip",
            retry=forwarding.central.retry,
            link=_link(config, target),
            centre_rules=detection.detectors.source == "config-service",
            selection=Selection(
                frozenset(wanted.include.event_types), frozenset(wanted.exclude.event_types), dict(wanted.exclude.metadata)
            ),
            sample=TraceSample(passed.ratio, frozenset(passed.always)),
            strategies=_strategies(config),
            cache_size=_cache_size(config),
            cache_ttl_s=cache.ttl if cache is not None else 300.0,
            health_port=health.port if health is not None else 8081,
            health_path=health.endpoint if health is not None else "/health",
            # Prices are the centre's: a cost that is computed here stands, whatever the centre would say.
            view=replace(view_of(0, config.to_snapshot(), tenant or "default"), pricing=PricingSettings(enabled=False)),
        )


def read_config(file: Path | None, options: dict[str, object]) -> SentinelConfig:
    """The configuration: a file (without one, what is built in), variables of the environment, and on top what the command line says. Raises ConfigError."""
    text = read_text(file) if file is not None else "{}"
    overrides = merged(merged({"mode": "sidecar"}, environment_overrides()), options)
    return parse_config(
        text, str(file or "command line"), base_folder=file.parent if file is not None else None, overrides=overrides
    ).config


def _strategies(config: SentinelConfig) -> frozenset[str]:
    local = config.detection.local
    if local is None:
        return frozenset(LOCAL_STRATEGIES)
    if not local.enabled:
        return frozenset()
    return frozenset(one.type for one in local.detectors) or frozenset(LOCAL_STRATEGIES)


def _cache_size(config: SentinelConfig) -> int:
    size = config.cache.size if config.cache is not None else 1_000
    text = _resolved(size, "cache.size") if isinstance(size, str) else str(size)
    if not text.isdigit() or int(text) < 1:
        raise GatewaySettingsError(f"cache.size: expected a whole number of at least 1, found {text[:50]!r}")
    return int(text)


def _link(config: SentinelConfig, target: Target) -> Target | None:
    remote = config.detection.remote
    if remote is not None and not remote.enabled:
        return None
    if remote is not None and remote.endpoint:
        address, secure = _address(remote.endpoint, "grpc", target.secure, "detection.remote.endpoint")
        return Target(address, secure, "grpc", target.tls, target.timeout_s, target.token)
    return target if target.protocol == "grpc" else None


def _target(central: ForwardTarget) -> Target:
    address, secure = _address(central.endpoint, central.protocol, central.tls.enabled, "forwarding.central.endpoint")
    for name in ("ca_file", "cert_file", "key_file"):
        file = getattr(central.tls, name)
        if secure and file is not None and not Path(file).is_file():
            raise GatewaySettingsError(f"forwarding.central.tls: cannot read {file}")
    token = _token(central)
    token()
    return Target(address, secure, central.protocol, central.tls, central.timeout, token)


def _address(endpoint: str, protocol: Literal["grpc", "http"], secure: bool, key: str) -> tuple[str, bool]:
    """host:port, and whether by TLS."""
    text = _resolved(endpoint, key)
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme not in SCHEMES[protocol]:
            raise GatewaySettingsError(
                f"{key}: expected host:port or {' or '.join(SCHEMES[protocol])}:// with protocol {protocol}, found {scheme}://"
            )
        text, secure = rest.rstrip("/"), secure or scheme.endswith("s")
    try:
        parts = urlsplit(f"//{text}")
        sound = parts.hostname and parts.port and parts.netloc == text and "@" not in text
    except ValueError:
        sound = False
    if not sound:
        raise GatewaySettingsError(f"{key}: expected host:port, found {text[:100]!r}")
    return text, secure


def _token(central: ForwardTarget) -> Callable[[], str | None]:
    """Reads the token: a file's content may change, as mounted secrets do."""
    if central.token is not None:
        text = from_environment(central.token, "forwarding.central.token")
        return lambda: text
    if central.token_file is None:
        return lambda: None
    file = Path(central.token_file)

    def read() -> str:
        try:
            return file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise GatewaySettingsError(f"forwarding.central.tokenFile: cannot read {file}") from None

    return read


def _resolved(text: str, key: str) -> str:
    return from_environment(text, key) if text.startswith("${") and text.endswith("}") else text
