"""What happens to a valid event at the door: its model under the known name, its cost, personal data replaced.

Most events need nothing of it, and their bytes go on as they came; finding that out is what this module is built for (`bench/enrichment.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sentinel.anomaly import Anomaly
from sentinel.config.runtime import RuntimeConfig
from sentinel.events.known_keys import has_unknown_keys
from sentinel.events.model import Data, Event
from sentinel.events.names import Names
from sentinel.events.normalisation import NormalisationSettings, Normaliser
from sentinel.events.rejects import RefusedEventError
from sentinel.memo import Memo
from sentinel.pricing.table import PriceTable, PricingSettings
from sentinel.privacy.policy import PrivacySettings
from sentinel.privacy.redaction import Redactor, add_counts

_KEPT = frozenset(("event_id", "timestamp", "source", "event_type", "application_id", "tenant_id", "correlation_id", "data", "metadata"))
_KEPT_DATA = frozenset(
    (
        "model",
        "model_sent",
        "status",
        "finish_reason",
        "metric_name",
        "unit",
        "error_type",
        "trace_id",
        "span_id",
        "parent_span_id",
        "cost_source",
        "cost_reason",
    )
)
_IDS = ("user_id", "session_id")
_KEPT_METADATA = frozenset((*_IDS, "environment"))
_MOST_USERS = 200_000


class Enrichment:
    """One instance serves a worker or a gateway; a new configuration version makes a new one.

    `redacted_events` counts the finished events in which personal data were replaced, `redacted_values` the values by kind.
    """

    def __init__(
        self,
        privacy: PrivacySettings,
        pricing: PricingSettings,
        normalisation: NormalisationSettings = NormalisationSettings(),  # noqa: B008
    ) -> None:
        self.normaliser = Normaliser(normalisation)
        self._redactor = Redactor.or_masking(privacy)
        self._prices = PriceTable(pricing)
        self._users: Memo[tuple[str, str], str] = Memo(self._user, _MOST_USERS)
        """(tenant, user id) → the id without personal data; most users come again and again."""
        self.redacted_events = 0
        self.redacted_values: dict[str, int] = {}

    @classmethod
    def of(cls, config: RuntimeConfig) -> Enrichment:
        """For a configuration version."""
        return cls(config.privacy, config.pricing, config.normalisation)

    def finish(self, value: bytes, event: Event, tenant_id: str | None = None) -> bytes:
        """The bytes of a decoded event as they go on; `tenant_id` when it is another than the event names.

        Raises RefusedEventError: the event cannot be looked through as a whole: it is nested too deeply, or no UTF-8 where the decoder does not read.
        """
        tenant = tenant_id or event.tenant_id
        changes = self._changes(event)
        looks = self._redactor.acts_on(tenant) and (self._concerned(event, tenant) or has_unknown_keys(value))
        if not changes and not looks:
            return value
        try:
            document: dict[str, Any] = orjson.loads(value)
            data = document["data"]
            for name, item in changes.items():
                if item is None:
                    data.pop(name, None)
                else:
                    data[name] = item
            if looks and not self._redact(document, tenant) and not changes:
                return value
            return orjson.dumps(document)
        except orjson.JSONDecodeError as error:
            raise RefusedEventError("$", "one JSON object in UTF-8", str(error)) from None
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise RefusedEventError("$", "a document of at most 100 levels", str(error)) from None

    def new_names(self) -> Names:
        """Numbers for names as they travel on: models under their known name, user ids without personal data."""
        return Names(self._prices.canonical.__getitem__, self._user)

    def cost_of(self, data: Data) -> float | None:
        """The cost of a successful call that names none, or 0, for a job that keeps no text of it: computed, where it can be."""
        changes = self.cost_changes(data)
        return changes["cost"] if changes else data.cost

    def redact_anomalies(self, anomalies: Iterable[Anomaly]) -> None:
        """The texts of findings, which quote what they found."""
        for anomaly in anomalies:
            tenant = anomaly.tenant_id
            if not self._redactor.acts_on(tenant):
                continue
            anomaly.description = self._redactor.redact(anomaly.description, tenant).text
            anomaly.title = self._redactor.redact(anomaly.title, tenant).text
            self._redactor.redact_document(anomaly.context, tenant)

    def _changes(self, event: Event) -> dict[str, Any]:
        data = event.data
        changes: dict[str, Any] = {}
        model = data.model
        if model is not None and (name := self._prices.canonical[model]) != model:
            changes = {"model": name, "model_sent": model}
        if not data.cost and data.status == "success":
            changes.update(self.cost_changes(data))
        return changes

    def cost_changes(self, data: Data) -> dict[str, Any]:
        """Cost, source and reason for an answer that names no cost, or 0 with tokens; without tokens there is nothing to compute.

        Failed calls keep what they say: providers do not charge for most of them.
        """
        tokens = (data.total_tokens or 0) + (data.prompt_tokens or 0) + (data.completion_tokens or 0)
        if not tokens or data.cost_source is not None or not self._prices.settings.enabled:
            return {}
        model = self._prices.canonical[data.model] if data.model is not None else None
        cost = self._prices.cost(model, data.prompt_tokens, data.completion_tokens, data.total_tokens)
        reason = cost.reason if data.cost is None or cost.reason is None else f"{cost.reason}; the event said 0 with tokens"
        return {"cost": cost.usd, "cost_source": cost.source, "cost_reason": reason}

    def _concerned(self, event: Event, tenant: str) -> bool:
        data, metadata = event.data, event.metadata
        texts = [text for text in (data.prompt, data.response, data.message, data.name) if text]
        if data.dimensions:
            texts += data.dimensions.values()
        ids = [event.correlation_id]
        if metadata is not None:
            ids.append(metadata.session_id)
            if metadata.tags:
                texts += metadata.tags.values()
            if metadata.user_id and self._users[tenant, metadata.user_id] != metadata.user_id:
                return True
        # Ids are new with every event, full of digits, and rarely more than that.
        texts += [text for text in ids if text and ("@" in text or text[0] == "+" or "%40" in text)]
        return bool(texts) and self._redactor.concerns("\0".join(texts), tenant)

    def _redact(self, document: dict[str, Any], tenant: str) -> bool:
        """Whether anything was replaced."""
        redactor = self._redactor
        counts = redactor.redact_document(document, tenant, _KEPT)
        add_counts(counts, redactor.redact_document(document["data"], tenant, _KEPT_DATA))
        _redact_id(redactor, document, "correlation_id", tenant, counts)
        metadata = document.get("metadata")
        if isinstance(metadata, dict):
            add_counts(counts, redactor.redact_document(metadata, tenant, _KEPT_METADATA))
            for name in _IDS:
                _redact_id(redactor, metadata, name, tenant, counts)
        self.redacted_events += bool(counts)
        add_counts(self.redacted_values, counts)
        return bool(counts)

    def _user(self, key: tuple[str, str]) -> str:
        tenant, user = key
        return self._redactor.redact_id(user, tenant).text


def _redact_id(redactor: Redactor, owner: dict[str, Any], name: str, tenant: str, counts: dict[str, int]) -> None:
    text = owner.get(name)
    if isinstance(text, str):
        owner[name], found = redactor.redact_id(text, tenant)
        add_counts(counts, found)
