"""What becomes of events behind the sidecar's door: filters, local rules, the sample, the ring."""

from __future__ import annotations

import asyncio
from typing import Any

from schemas.pb.llm.sentinel.v1 import ingestion_pb2 as pb
from sentinel.events.decode import Decoded, decode_batch
from sentinel.events.enrichment import Enrichment
from sentinel.events.halves import without_latency
from sentinel.events.model import Event
from sentinel.events.normalisation import Normaliser
from sentinel.events.pairing_settings import PairingSettings
from sentinel.events.selection import Selection, TraceSample
from services.dispatcher.events import log_event
from services.gateway.gateway import Gateway
from services.gateway.grpc_door import Telemetry
from services.gateway.grpc_events import event_json
from services.gateway.records import KafkaRecord
from services.gateway.tenants import DEFAULT_TENANT, Principal
from services.sidecar.findings import FindingCache
from services.sidecar.local_rules import LocalRules
from services.sidecar.ring import Ring


class Intake:
    """The `Keeper` of a sidecar: an event is kept when it stands in the ring. Counts `filtered`, `sampled_out`, and `found` anomalies."""

    spilling = False

    def __init__(self, ring: Ring, rules: LocalRules, findings: FindingCache, selection: Selection, sample: TraceSample) -> None:
        self.ring, self.rules, self.findings = ring, rules, findings
        self.selection, self.sample = selection, sample
        self.filtered = self.sampled_out = 0
        self.found: dict[tuple[str, str], int] = {}
        """Anomalies by detector and severity, each counted once."""

    @property
    def takes_events(self) -> bool:
        """See `Keeper`."""
        return self.ring.policy == "oldest" or not self.ring.full

    def submit(self, records: list[KafkaRecord], tenant_id: str) -> asyncio.Future[None]:
        """See `Keeper`. The future is complete."""
        values = [record.value for record in records]
        decoded = decode_batch(values, [record.time_ms for record in records])
        readable = dict(zip(decoded.rows, decoded.events, strict=True)) | self._without_latency(records, decoded)
        events = {row: event for row, event in sorted(readable.items()) if self.selection.wants(event)}
        rows = list(events)
        named = self._judge([(event, records[row].time_ms) for row, event in events.items()])
        # What redaction has made unreadable, if there is such a thing, is for the centre to refuse.
        passed = [row for row in rows if self.sample.keeps(events[row]) or str(events[row].event_id) in named]
        kept = sorted([*passed, *(row for row, _ in decoded.rejects if row not in readable)])
        self.ring.put([values[row] for row in kept])
        self.filtered += len(readable) - len(rows)
        self.sampled_out += len(rows) - len(passed)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    @staticmethod
    def _without_latency(records: list[KafkaRecord], decoded: Decoded) -> dict[int, Event]:
        """Answers whose requests tell how long they took, by row: chosen and judged like others, but by no rule on their latency."""
        found: dict[int, Event] = {}
        for row, reject in decoded.rejects:
            completed = without_latency(records[row].value, reject, records[row].time_ms, Normaliser())
            if completed is not None:
                found[row] = completed[1]
                found[row].data.latency_ms = None
        return found

    def _judge(self, timed: list[tuple[Any, int]]) -> set[str]:
        """Remembers what the rules find; the ids of the events that the findings name."""
        named: set[str] = set()
        for anomaly in self.rules.judge([event for event, _ in timed], [time_ms for _, time_ms in timed]):
            named.update(anomaly.context.get("sample_events", ()))
            if self.findings.put(anomaly.to_json(), "local"):
                key = (anomaly.detector_id, anomaly.severity)
                self.found[key] = self.found.get(key, 0) + 1
                # Without its description, which quotes the event.
                log_event("anomaly", anomaly_id=anomaly.anomaly_id, detector=anomaly.detector_id, severity=anomaly.severity)
        return named


class LocalGateway(Gateway):
    """A gateway for one application: whoever reaches the door may send, and events that name no tenant get the application's."""

    tenant = DEFAULT_TENANT

    @property
    def enrichment(self) -> Enrichment:
        """What happens to events at the door."""
        return self._enrichment

    def use(self, enrichment: Enrichment, tenant: str, pairing: PairingSettings) -> None:
        """Other policies, another tenant of events that name none, and whose answers may come without latency; what was counted stays."""
        enrichment.redacted_events, enrichment.redacted_values = self._enrichment.redacted_events, self._enrichment.redacted_values
        self._enrichment, self.tenant, self._pairing = enrichment, tenant, lambda: pairing

    def principal(self, credentials: str | None, tenant: str | None = None) -> Principal:
        """See `Gateway.principal`."""
        return super().principal(None, tenant or self.tenant)


class LocalTelemetry(Telemetry):
    """The same service as the gateway's, with the truth about what an acceptance means here."""

    kept = "every event is in the sidecar's memory, on its way to the centre"

    def __init__(self, gateway: Gateway, intake: Intake, application_id: str | None, namespace: str | None) -> None:
        super().__init__(gateway, self._completed)
        self._intake, self._application_id, self._namespace = intake, application_id, namespace

    async def HealthCheck(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether events are taken."""
        if not self._intake.takes_events:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.NOT_SERVING, message="the ring is full")
        return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVING, message="events go to the ring, and from there to the centre")

    def _completed(self, event: Any) -> bytes:
        if not event.application_id and self._application_id:
            event.application_id = self._application_id
        if self._namespace and "namespace" not in event.metadata:
            event.metadata["namespace"] = self._namespace
        return event_json(event)
