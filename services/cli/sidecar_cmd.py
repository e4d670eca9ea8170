"""`sentinel sidecar`: the process beside an application."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def sidecar(
    config: Annotated[Path | None, typer.Option(help="sentinel-sidecar.yaml; watched. Options and their variables go before it.")] = None,
    central: Annotated[str | None, typer.Option(envvar="CENTRAL_AGGREGATOR", help="host:port of the gateway to send to.")] = None,
    application: Annotated[str | None, typer.Option(envvar="APPLICATION_ID", help="The application beside the sidecar.")] = None,
    batch_size: Annotated[int | None, typer.Option(envvar="BATCH_SIZE", min=1, show_default="100", help="Events in a batch.")] = None,
    flush_interval: Annotated[
        str | None, typer.Option(envvar="FLUSH_INTERVAL", show_default="1s", help="Longest wait for a full batch.")
    ] = None,
    cache_size: Annotated[
        int | None, typer.Option(envvar="LOCAL_CACHE_SIZE", min=1, show_default="1000", help="Anomalies that are remembered.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, show_default="as configured", help="Port on the loopback interface.")
    ] = None,
    unix_socket: Annotated[Path | None, typer.Option(show_default="as configured", help="Path of a Unix socket beside the port.")] = None,
    health_port: Annotated[
        int | None, typer.Option(min=0, max=65535, show_default="as configured", help="Port of health and metrics.")
    ] = None,
    health_host: Annotated[str, typer.Option(help="Address of health and metrics; 0.0.0.0 for the probes of Kubernetes.")] = "127.0.0.1",
) -> None:
    """Take an application's telemetry beside it, judge it by light rules, and send it on in batches; until SIGTERM or Ctrl-C.

    gRPC (TelemetryIngestion and OTLP) on the loopback interface and on a Unix socket. An acknowledgement means: in the sidecar's memory.
    """
    import uvloop

    from sentinel.config.errors import ConfigError
    from services.gateway.settings import GatewaySettingsError
    from services.sidecar.service import run
    from services.sidecar.settings import SidecarSettings, read_config

    options: dict[str, Any] = {}
    _set(options, central, "forwarding", "central", "endpoint")
    _set(options, application, "application", "id")
    _set(options, batch_size, "ingestion", "batching", "size")
    _set(options, flush_interval, "ingestion", "batching", "timeout")
    _set(options, cache_size, "cache", "size")
    _set(options, grpc_port, "ingestion", "local", "grpc", "port")
    _set(options, str(unix_socket) if unix_socket else None, "ingestion", "local", "grpc", "unixSocket")
    _set(options, health_port, "health", "port")
    try:
        uvloop.run(run(lambda: SidecarSettings.of(read_config(config, options)), config, health_host))
    except (ConfigError, GatewaySettingsError, OSError) as error:
        print(f"sentinel sidecar: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(130) from None


def _set(options: dict[str, Any], value: object, *path: str) -> None:
    if value is None:
        return
    for step in path[:-1]:
        options = options.setdefault(step, {})
    options[path[-1]] = value


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sidecar")(sidecar)
