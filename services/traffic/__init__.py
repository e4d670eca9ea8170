"""Synthetic and replayed LLM telemetry: generator, trace readers, injected trouble, and the Kafka writer of `generate` and `replay`."""
