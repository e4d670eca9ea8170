"""Classifier rules: the injection classifier over the texts of a batch of events at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from sentinel.config.runtime import DetectorConfig
from sentinel.detection.rules.batch import EventBatch
from sentinel.injection.classifier import shared_classifier
from sentinel.injection.reasons import Verdict, judge


class ClassifiedHit(NamedTuple):
    """A rule whose threshold a text reached."""

    row: int
    detector: DetectorConfig
    field: str
    verdict: Verdict


class ClassifierRules:
    """All rules of strategy `classifier` together: a text that several of them read is scored once."""

    def __init__(self, detectors: Sequence[DetectorConfig]) -> None:
        """Raises ArtifactError when there is a rule and the model cannot be loaded."""
        self.detectors = list(detectors)
        if self.detectors:
            self._classifier = shared_classifier()

    @property
    def model(self) -> str:
        """Name and version of the model."""
        return self._classifier.name

    def hits(self, batch: EventBatch) -> Iterator[ClassifiedHit]:
        """Every text that reaches the threshold of a rule in whose scope it is."""
        for field in dict.fromkeys(field for detector in self.detectors for field in detector.params["fields"]):
            rules = [(detector, batch.in_scope(detector.scope)) for detector in self.detectors if field in detector.params["fields"]]
            texts = batch.text(field)
            wanted = np.logical_or.reduce([scope for _, scope in rules])
            rows = [row for row in np.flatnonzero(wanted).tolist() if texts[row]]
            lowest = min(detector.params["threshold"] for detector, _ in rules)
            for row, verdict in zip(rows, judge(self._classifier, [texts[row] for row in rows], lowest), strict=True):
                if verdict.is_injection:
                    for detector, scope in rules:
                        if scope[row] and verdict.score >= detector.params["threshold"]:
                            yield ClassifiedHit(row, detector, field, verdict)


def sentence_of(hit: ClassifiedHit) -> str:
    """What was found, for people."""
    found = f"the {hit.field} reads like an injection (score {hit.verdict.score:.2f}, threshold {hit.detector.params['threshold']:.2f})"
    if not hit.verdict.reasons:
        return found
    reason = hit.verdict.reasons[0]
    hidden = f", hidden as {reason.hidden}" if reason.hidden else ""
    return f"{found}: {reason.category}{hidden}: “{reason.text}”"


def evidence_of(hit: ClassifiedHit, model: str) -> dict[str, Any]:
    """What the anomaly's context holds besides: model, field and reasons."""
    return {"classifier": model, "field": hit.field, "reasons": msgspec.to_builtins(hit.verdict.reasons)}
