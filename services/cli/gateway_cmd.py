"""`sentinel gateway`: the doors for telemetry."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

PortOption = Annotated[int | None, typer.Option(min=0, max=65535, show_default="as configured")]


def gateway(
    config: Annotated[Path | None, typer.Option(help="sentinel-config.yaml; default: the configuration in force, read from Kafka.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. Other than loopback only with tokens configured.")] = "127.0.0.1",
    bootstrap: Annotated[str | None, typer.Option(help="Kafka; default: SENTINEL_KAFKA_BOOTSTRAP, else the running stack.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the overflow; default: data/ of the stack's folder.")] = None,
    grpc_port: PortOption = None,
    http_port: PortOption = None,
    otlp_grpc_port: PortOption = None,
    otlp_http_port: PortOption = None,
) -> None:
    """Take telemetry by gRPC, HTTP, OTLP and AMQP, and write it to Kafka; in the foreground until SIGTERM or Ctrl-C.

    One JSON object a line on standard error. An acknowledgement means: written by all replicas, or on disk until it can be.
    """
    import uvloop

    from sentinel.config.errors import ConfigError
    from sentinel.kafka_access import librdkafka
    from services.cli.connection import NoAddressError, kafka_bootstrap
    from services.gateway.configuration import config_of
    from services.gateway.service import run
    from services.gateway.settings import GatewaySettingsError, Ports
    from services.gateway.tenants import TokenError
    from services.stack.paths import Layout, default_home

    # The thread that hears Kafka's confirmations waits this long at most for a busy event loop (Python's default is 5 ms).
    sys.setswitchinterval(0.001)
    folder = data or Layout(default_home()).data
    try:
        servers = kafka_bootstrap(bootstrap)
        loaded = config_of(config, servers, folder)
        known = Ports.of(loaded.ingestion)
        ports = Ports(
            known.grpc if grpc_port is None else grpc_port,
            known.http if http_port is None else http_port,
            known.otlp_grpc if otlp_grpc_port is None else otlp_grpc_port,
            known.otlp_http if otlp_http_port is None else otlp_http_port,
        )
        uvloop.run(run(loaded, librdkafka(servers), folder, ports, host, live_config=config is None))
    except (NoAddressError, ConfigError, GatewaySettingsError, TokenError, OSError) as error:
        print(f"sentinel gateway: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(130) from None


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("gateway")(gateway)
