"""What looking for personal data costs a text: one process, one core, no Flink. The reference is one regular expression for e-mail and digits alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np

from bench.row import Row
from sentinel.privacy.policy import PrivacySettings
from sentinel.privacy.redaction import Redactor
from services.traffic.prompts import TEMPLATES, PromptWriter

TEXTS = 2_000
LENGTH = 1_000
PROMPTS = 16
"""So many make a text."""
ROUNDS = 3
REFERENCE = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+|\d(?:[ ().-]?\d){6,}")
SOME = "\nwrite to jane.doe@example.org or call +49 30 1234567, card 4111 1111 1111 1111"
NUMBERS = "\nOn 2026-03-11 at 14:05 we shipped 1204 units (order 88213007, batch 7), v2.1.3, max_tokens=4096."


def texts(seed: int = 1) -> list[str]:
    """Prompts of the traffic generator, joined and cut to 1,000 characters."""
    writer = PromptWriter(np.random.default_rng(seed))
    domains = sorted(TEMPLATES) * (TEXTS * PROMPTS // len(TEMPLATES))
    prompts = [prompt for prompt, _ in writer.draw(domains)]
    return ["\n".join(prompts[place : place + PROMPTS])[:LENGTH] for place in range(0, len(prompts) - PROMPTS + 1, PROMPTS)]


def costs() -> dict[str, float]:
    """Microseconds of CPU a text of 1,000 characters; the best of some rounds."""
    plain = texts()
    redactor = Redactor(PrivacySettings())
    clean = [text for text in plain if not redactor.concerns(text, "bench")]
    some = [text[: LENGTH - len(SOME)] + SOME for text in clean]
    numbers = [text[: LENGTH - len(NUMBERS)] + NUMBERS for text in clean]
    return {
        "reference: re for e-mail and digits only": _best(lambda text: REFERENCE.search(text), clean),
        "no personal data": _best(lambda text: redactor.redact(text, "bench"), clean),
        "no personal data, with dates and numbers": _best(lambda text: redactor.redact(text, "bench"), numbers),
        "three values masked": _best(lambda text: redactor.redact(text, "bench"), some),
    }


def _best(step: Callable[[str], object], sample: list[str]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for text in sample:
            step(text)
        best = min(best, time.process_time() - began)
    return round(best / len(sample) * 1e6, 2)


def run(row: Row) -> Row:
    """The row."""
    row.details = {"us_per_text_of_1000_characters": costs()}
    return row
