"""Telemetry events on the per-event path: decoding, validation, per-event columns, folding into panes, rejects."""
