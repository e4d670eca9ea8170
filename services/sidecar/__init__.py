"""The process beside an application: takes its telemetry at once, judges it by light rules, and sends it on in batches."""
