"""What a call costs: the event's own figure, prices of the configuration, or the bundled price table."""
