"""Prompt injection and jailbreak classifier: a calibrated score in [0, 1] for a text, with the spans that speak for it."""
