"""Channels to the gateway's gRPC door."""

from __future__ import annotations

from pathlib import Path

import grpc

from services.gateway.settings import GatewaySettingsError
from services.sidecar.settings import Target

_OPTIONS = [
    # A gateway that comes back is noticed within seconds, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),
]


def open_channel(target: Target) -> grpc.aio.Channel:
    """A channel; it connects when it is used. Raises GatewaySettingsError for certificates that cannot be read."""
    if not target.secure:
        return grpc.aio.insecure_channel(target.address, _OPTIONS)
    tls = target.tls
    try:
        pem = [Path(file).read_bytes() if file else None for file in (tls.ca_file, tls.key_file, tls.cert_file)]
    except OSError as error:
        raise GatewaySettingsError(f"forwarding.central.tls: cannot read {error.filename}") from None
    return grpc.aio.secure_channel(target.address, grpc.ssl_channel_credentials(*pem), _OPTIONS)


def metadata_of(target: Target) -> tuple[tuple[str, str], ...]:
    """The token. Raises GatewaySettingsError when its file is gone."""
    token = target.token()
    return (("authorization", f"Bearer {token}"),) if token else ()
