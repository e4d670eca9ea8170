"""Silences and inhibition for many tenants at once: nothing of one tenant mutes another."""

from __future__ import annotations

import msgspec

from sentinel.alerting.alerts import Alert
from sentinel.alerting.control import Answer, Control
from sentinel.alerting.labels import fingerprint
from sentinel.alerting.matching import AlertKey
from sentinel.alerting.muting import Inhibitor, Mutes, Silence, Silences
from sentinel.alerting.policy import policy_of
from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig

MAX_SILENCES = 10_000


class InhibitSource(msgspec.Struct, frozen=True):
    """The report that an alert fires which holds back others. `source` is its tenant, `key` the text of its alert key; it counts until `ends_at`
    (epoch ms)."""

    source: str
    labels: dict[str, str]
    starts_at: int
    ends_at: int
    key: str = ""

    @property
    def name(self) -> str:
        """What the same alert has again."""
        return f"{self.source}|{fingerprint(self.labels)}"

    def to_json(self) -> str:
        """The report as JSON."""
        return _encoder.encode(self).decode()

    @staticmethod
    def from_json(data: bytes | str) -> InhibitSource:
        """Parse what `to_json` wrote. Raises `msgspec.ValidationError`."""
        return _decoder.decode(data)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(InhibitSource)


def inhibit_sources(anomaly: Anomaly, keys: list[AlertKey], config: RuntimeConfig, now_ms: int) -> list[InhibitSource]:
    """Reports for the anomaly's alerts that are sources of an inhibition rule: they count until the resolve timeout."""
    if not config.inhibit_rules:
        return []
    policy = policy_of(config)
    found = []
    for key in keys:
        definition = policy.definitions.get(key.definition_id)
        if definition is not None:
            labels = policy.labels(anomaly, definition, key.group_names)
            if policy.mutes.inhibitor.is_source(labels):
                found.append(InhibitSource(anomaly.tenant_id, labels, now_ms, now_ms + policy.resolve_timeout_ms, key.to_text()))
    return found


class TenantMutes:
    """`Mutes` by tenant, made when first needed; schedules and windows are compiled once a configuration."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._common = policy_of(config).mutes
        self._silences: dict[str, Silences] = {}
        self._inhibitors: dict[str, Inhibitor] = {}
        self._by_tenant: dict[str, Mutes] = {}
        self.serial = 0
        self._changed: dict[str, int] = {}

    def of(self, tenant_id: str) -> Mutes:
        """What is in force for a tenant."""
        if tenant_id not in self._silences and tenant_id not in self._inhibitors:
            return self._common
        found = self._by_tenant.get(tenant_id)
        if found is None:
            found = self._by_tenant[tenant_id] = Mutes(self._config, self._silences_of(tenant_id), self._inhibitor_of(tenant_id))
        return found

    def changed_since(self, serial: int) -> list[str]:
        """Tenants for whom something new is in force, or was ended by request, since `serial` had that value."""
        return [tenant for tenant, at in self._changed.items() if at > serial] if serial < self.serial else []

    def learn(self, source: InhibitSource) -> None:
        """Take in the report of a source."""
        alert = Alert(source.labels, {}, source.starts_at, source.ends_at, source.starts_at)
        if self._inhibitor_of(source.source).learn(alert):
            self._note_change(source.source)

    def end(self, source: InhibitSource, now_ms: int) -> None:
        """A source is over before its time, since somebody said so."""
        self._inhibitor_of(source.source).learn(Alert(source.labels, {}, source.starts_at, now_ms, now_ms))
        self._note_change(source.source)

    def forget_ended(self, now_ms: int) -> None:
        """Let go of silences and sources that are over."""
        for silences in self._silences.values():
            silences.drop_expired(now_ms)
        for inhibitor in self._inhibitors.values():
            inhibitor.forget_ended(now_ms)

    def silence(self, tenant_id: str, silence: Silence) -> None:
        """Put a silence in force. Raises ValueError as `Silences.set`."""
        self._silences_of(tenant_id).set(silence)
        self._note_change(tenant_id)

    def silence_as_asked(self, control: Control, now_ms: int) -> Answer:
        """Put a silence in force that somebody asks for, or say why not."""
        if control.until_ms <= now_ms:
            return Answer(done=False, detail="expected an end in the future")
        if sum(map(len, self._silences.values())) >= MAX_SILENCES:
            return Answer(done=False, detail=f"there are {MAX_SILENCES} silences already; expire some")
        wanted = Silence(control.silence_id, control.matchers, now_ms, control.until_ms, control.by, control.comment)
        try:
            self.silence(control.tenant_id, wanted)
        except ValueError as error:
            return Answer(done=False, detail=str(error))
        return Answer(done=True, detail=f"silence {control.silence_id} is in force")

    def expire(self, tenant_id: str, silence_id: str, now_ms: int) -> Answer:
        """End a silence."""
        if self.find(tenant_id, silence_id) is None:
            return Answer(done=False, detail=f"there is no silence {silence_id}")
        ended = self._silences_of(tenant_id).expire(silence_id, now_ms)
        self._note_change(tenant_id)
        return Answer(done=True, detail=f"silence {silence_id} {'is ended' if ended else 'had ended before'}")

    def find(self, tenant_id: str, silence_id: str) -> Silence | None:
        """A tenant's silence by id."""
        silences = self._silences.get(tenant_id)
        return next((silence for silence in silences.all() if silence.id == silence_id), None) if silences else None

    def _note_change(self, tenant_id: str) -> None:
        self.serial += 1
        self._changed[tenant_id] = self.serial

    def _silences_of(self, tenant_id: str) -> Silences:
        return self._silences.setdefault(tenant_id, Silences())

    def _inhibitor_of(self, tenant_id: str) -> Inhibitor:
        if tenant_id not in self._inhibitors:
            self._inhibitors[tenant_id] = Inhibitor(self._config.inhibit_rules)
        return self._inhibitors[tenant_id]
