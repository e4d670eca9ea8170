"""The domain of LLM-Sentinel: events, panes, detectors, correlation, alerting, configuration. No Flink import below this package."""
