"""What /metrics of a sidecar shows beside the counters of its door."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.sidecar.centre import Centre
from services.sidecar.forwarder import Forwarder
from services.sidecar.intake import Intake


class SidecarCounts(Collector):
    """Read when it is asked for. Accepted events = forwarded + dropped + filtered + sampled out + those in the ring."""

    def __init__(self, intake: Intake, forwarder: Forwarder, centre: Centre | None) -> None:
        self._intake, self._forwarder, self._centre = intake, forwarder, centre

    def collect(self) -> Iterator[Metric]:
        """One reading."""
        intake, forwarder, ring = self._intake, self._forwarder, self._intake.ring
        yield GaugeMetricFamily("sentinel_sidecar_ring_events", "Events that wait to be sent on", len(ring))
        yield GaugeMetricFamily("sentinel_sidecar_ring_bytes", "Their bytes", ring.size_bytes)
        yield GaugeMetricFamily("sentinel_sidecar_ring_size", "Events that the ring holds at most", ring.size)
        dropped = CounterMetricFamily("sentinel_sidecar_dropped_events", "Accepted events that were lost, by reason", labels=("reason",))
        for reason, count in (("oldest", ring.dropped_oldest), ("refused", forwarder.refused), ("failed", forwarder.failed)):
            dropped.add_metric([reason], count)
        yield dropped
        yield CounterMetricFamily(
            "sentinel_sidecar_turned_away_events", "Events that found no place (drop policy newest)", ring.dropped_newest
        )
        yield CounterMetricFamily("sentinel_sidecar_filtered_events", "Events that the filters leave out", intake.filtered)
        yield CounterMetricFamily("sentinel_sidecar_sampled_out_events", "Events outside the sample", intake.sampled_out)
        yield CounterMetricFamily("sentinel_sidecar_forwarded_events", "Events that the gateway took", forwarder.forwarded)
        yield CounterMetricFamily("sentinel_sidecar_batches", "Batches that the gateway took", forwarder.batches)
        yield CounterMetricFamily("sentinel_sidecar_retries", "Pauses before another attempt", forwarder.retries)
        yield GaugeMetricFamily("sentinel_sidecar_centre_away", "1 while the gateway takes nothing", int(forwarder.trouble is not None))
        yield GaugeMetricFamily("sentinel_sidecar_config_version", "Configuration whose rules run here", intake.rules.version)
        yield GaugeMetricFamily("sentinel_sidecar_detectors", "Rules that run here", intake.rules.detectors)
        found = CounterMetricFamily("sentinel_sidecar_anomalies", "Anomalies found here", labels=("detector", "severity"))
        for labels, count in intake.found.items():
            found.add_metric(labels, count)
        yield found
        yield GaugeMetricFamily("sentinel_sidecar_cached_anomalies", "Anomalies that are remembered", len(intake.findings))
        if self._centre is not None:
            yield GaugeMetricFamily("sentinel_sidecar_link_connected", "1 while the centre is followed", int(self._centre.connected))
            yield CounterMetricFamily("sentinel_sidecar_centre_anomalies", "Anomalies that the centre told", self._centre.heard)
