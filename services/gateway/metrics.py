"""What /metrics shows. Labels are doors and outcomes; no tenant, id or text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sentinel.events.enrichment import Enrichment
from services.gateway.journal import Journal
from services.gateway.limits import Limiter

DOORS = ("http", "grpc", "otlp", "amqp")
_BUCKETS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class DoorMetrics:
    """Counters of the doors; `service` is part of their names."""

    def __init__(self, service: str = "gateway") -> None:
        self.registry = CollectorRegistry()
        events = Counter(f"sentinel_{service}_events", "Events by door and outcome", ("door", "outcome"), registry=self.registry)
        latency = Histogram(
            f"sentinel_{service}_ack_latency_seconds",
            "From a checked batch to its acknowledgement",
            ("door",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._events = {
            (door, outcome): events.labels(door, outcome)
            for door in DOORS
            for outcome in ("accepted", "rejected", "limited", "unavailable", "ignored")
        }
        self._latency = {door: latency.labels(door) for door in DOORS}
        self._accepted = dict.fromkeys(DOORS, 0)

    def accepted(self, door: str, events: int, latency_s: float) -> None:
        """Events that are durable."""
        self._events[door, "accepted"].inc(events)
        self._latency[door].observe(latency_s)
        self._accepted[door] += events

    def rejected(self, door: str, events: int) -> None:
        """Events that are not valid."""
        if events:
            self._events[door, "rejected"].inc(events)

    def limited(self, door: str, events: int) -> None:
        """Events over a tenant's limit."""
        self._events[door, "limited"].inc(events)

    def unavailable(self, door: str, events: int) -> None:
        """Events that could not be made durable."""
        self._events[door, "unavailable"].inc(events)

    def ignored(self, door: str, items: int) -> None:
        """Spans, log records and points that have nothing to do with a language model."""
        if items:
            self._events[door, "ignored"].inc(items)

    def watch(self, journal: Journal, limiter: Limiter, enrichment: Enrichment) -> None:
        """Adds what others count, read when it is asked for."""
        self.registry.register(_Levels(journal, self._accepted))
        self.registry.register(_Fallbacks(limiter))
        self.registry.register(RedactionCounts(lambda: enrichment, "gateway"))

    def page(self) -> bytes:
        """The text of /metrics."""
        return generate_latest(self.registry)


class _Fallbacks(Collector):
    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        yield CounterMetricFamily(
            "sentinel_gateway_limit_fallbacks",
            "Batches judged by local buckets while Valkey was away",
            getattr(self._limiter, "fallbacks", 0),
        )


class RedactionCounts(Collector):
    """Personal data that were replaced at the doors of a service; `current` gives the enrichment in force."""

    def __init__(self, current: Callable[[], Enrichment], service: str) -> None:
        self._current, self._prefix = current, f"sentinel_{service}_redacted"

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        enrichment = self._current()
        yield CounterMetricFamily(f"{self._prefix}_events", "Events in which personal data were replaced", enrichment.redacted_events)
        values = CounterMetricFamily(f"{self._prefix}_values", "Personal data replaced, by kind", labels=("kind",))
        for kind, count in enrichment.redacted_values.items():
            values.add_metric([kind], count)
        yield values


class _Levels(Collector):
    def __init__(self, journal: Journal, accepted: dict[str, int]) -> None:
        self._journal, self._accepted = journal, accepted
        self._last: dict[str, tuple[float, int]] = {}

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        journal = self._journal
        yield GaugeMetricFamily("sentinel_gateway_buffer_events", "Events in memory, not yet durable", journal.events_in_memory)
        yield GaugeMetricFamily("sentinel_gateway_buffer_bytes", "Their bytes", journal.bytes_in_memory)
        yield GaugeMetricFamily("sentinel_gateway_buffer_oldest_seconds", "Wait of the oldest batch for Kafka", journal.oldest_wait_s())
        yield GaugeMetricFamily("sentinel_gateway_spilling", "1 while new events go to disk", int(journal.spilling))
        yield GaugeMetricFamily(
            "sentinel_gateway_overflow_events", "Events on disk, acknowledged and not yet in Kafka", journal.overflow_events
        )
        yield GaugeMetricFamily("sentinel_gateway_overflow_bytes", "Bytes of the overflow on disk", journal.overflow_bytes)
        yield GaugeMetricFamily(
            "sentinel_gateway_overflow_draining_bytes",
            "Bytes read from disk and in memory until Kafka confirms them",
            journal.draining_bytes,
        )
        yield CounterMetricFamily("sentinel_gateway_overflow_written_events", "Events written to disk", journal.spilled_events)
        yield CounterMetricFamily("sentinel_gateway_overflow_drained_events", "Events that went from disk to Kafka", journal.drained_events)
        yield CounterMetricFamily(
            "sentinel_gateway_overflow_corrupt", "Batches or files on disk that could not be read", journal.corrupt_batches
        )
        yield CounterMetricFamily("sentinel_gateway_kafka_refused_events", "Events that Kafka refused", journal.refused_events)
        throughput = GaugeMetricFamily(
            "sentinel_ingestion_throughput", "Accepted events per second since the last reading", labels=("protocol",)
        )
        now = time.monotonic()
        for door, count in self._accepted.items():
            before_s, before = self._last.get(door, (now - 1.0, count))
            throughput.add_metric([door], (count - before) / max(now - before_s, 1e-3))
            self._last[door] = (now, count)
        yield throughput
