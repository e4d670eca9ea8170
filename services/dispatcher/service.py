"""Puts the dispatcher together and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import stamina
from confluent_kafka import KafkaException

from services.dispatcher import notification, shield_orders
from services.dispatcher.config_watch import ConfigWatch
from services.dispatcher.dead_letters import DeadLetterWriter
from services.dispatcher.delivery import Delivery, Outcome, Record, RetryPolicy
from services.dispatcher.events import log_event, plain
from services.dispatcher.gate import Gates
from services.dispatcher.http_post import client
from services.dispatcher.incident_book import IncidentBook
from services.dispatcher.ledger import Ledger
from services.dispatcher.loop import PATTERN, DispatcherLoop, consumer
from services.dispatcher.sender import Sender
from services.dispatcher.settings import notification_policy, per_minute, shield_policy
from services.dispatcher.shield_book import ShieldBook
from services.dispatcher.shield_sender import ShieldSender

RECONNECT_WAIT_S = 5.0
TOPICS = (PATTERN, shield_orders.TOPIC)


def quiet_libraries() -> None:
    """Library logs are off: httpx writes whole addresses at INFO, and an address may hold a token. Our own events say what matters."""
    for name in ("httpx", "httpcore", "psycopg", "aiosmtplib", "stamina"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks(())


async def run(bootstrap: str, dsn: str) -> None:
    """Dispatches until a signal asks to stop. Kafka and Postgres may come and go meanwhile."""
    quiet_libraries()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config, ledger, letters = ConfigWatch(bootstrap), Ledger(dsn), DeadLetterWriter(bootstrap)
    config.start()
    await ledger.open()
    log_event("started", kafka=bootstrap)
    gates = Gates(lambda receiver: per_minute(config.current()[1], receiver))

    def health() -> dict[str, Any]:
        away = "away" if ledger.database.away else "ok"
        return {"config_version": config.current()[0], "postgres": away, "open_circuits": gates.open_circuits()}

    shield = ShieldSender(config.current, ShieldBook(ledger.database))
    try:
        async with client() as http:

            def retries() -> RetryPolicy:
                return notification_policy(config.current()[1])

            def shield_retries() -> RetryPolicy:
                return shield_policy(config.current()[1])

            sender = Sender(config.current, http, IncidentBook(ledger.database))
            notifications = Delivery(ledger, sender, letters.bury, retries, gates, parse=notification.parse)
            actions = Delivery(ledger, shield, letters.bury, shield_retries, gates, parse=shield_orders.parse, concerns=shield.concerns)

            async def deliver(record: Record) -> Outcome:
                return await (actions if record.topic == shield_orders.TOPIC else notifications).deliver(record)

            # Without the configuration no receiver is known: a start before it would only use up attempts.
            while not stop.is_set() and not await asyncio.to_thread(config.wait, 1.0):
                letters.poll()
            while not stop.is_set():
                try:
                    await DispatcherLoop(consumer(bootstrap), deliver, stop, letters.poll, health, TOPICS).run()
                except KafkaException as error:
                    log_event("kafka", error=plain(str(error)), again_in_s=RECONNECT_WAIT_S)
                    await asyncio.sleep(RECONNECT_WAIT_S)
    finally:
        config.close()
        await shield.close()
        await ledger.close()
        log_event("stopped")
