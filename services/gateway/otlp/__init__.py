"""OpenTelemetry in: traces, logs and metrics of language-model clients become telemetry events, by a table of names."""
