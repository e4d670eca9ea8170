"""Runs the callbacks' HTTP server until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from typing import Any

from confluent_kafka import KafkaException, Producer

from sentinel.kafka_access import librdkafka
from services.callbacks.application import PATH, Callbacks
from services.dispatcher.config_watch import ConfigWatch
from services.dispatcher.database import Database
from services.dispatcher.events import log_event
from services.gateway.http_server import HttpServer

TOPIC = "sentinel-control"
KAFKA_LIMIT_S = 5.0


class ControlWriter:
    """Writes requests with `acks=all`, from threads."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                **librdkafka(bootstrap),
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": int(KAFKA_LIMIT_S * 1000),
                "linger.ms": 0,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,
                "error_cb": lambda error: None,
            }
        )

    async def publish(self, key: bytes, value: bytes) -> None:
        """Returns when Kafka has it. Raises OSError."""
        await asyncio.to_thread(self._publish, key, value)

    def _publish(self, key: bytes, value: bytes) -> None:
        outcome: list[Any] = []
        try:
            self._producer.produce(TOPIC, value, key, on_delivery=lambda error, _message: outcome.append(error))
            self._producer.flush(KAFKA_LIMIT_S + 2)
        except (KafkaException, BufferError) as error:
            raise OSError(str(error)) from None
        if not outcome or outcome[0] is not None:
            raise OSError(outcome[0].str() if outcome else f"no acknowledgement within {KAFKA_LIMIT_S:g} s")


async def run(bootstrap: str, dsn: str, host: str, port: int) -> None:
    """Serves until a signal asks to stop. Raises OSError when the port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bound = socket.create_server((host, port), reuse_port=False)
    config, database = ConfigWatch(bootstrap), Database(dsn)
    config.start()
    await database.open()
    application = Callbacks(lambda: config.current()[1], database, ControlWriter(bootstrap).publish, lambda: time.time_ns() // 1_000_000)
    server = HttpServer(application, bound)
    try:
        await server.start()
        log_event("listening", url=f"http://{host}:{bound.getsockname()[1]}{PATH}")
        await stop.wait()
        await server.stop()
    finally:
        bound.close()
        config.close()
        await database.close()
        log_event("stopped")
