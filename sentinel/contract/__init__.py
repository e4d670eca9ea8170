"""The public data contract (specification, Data Schemas): telemetry event, anomaly event, alert definition, metrics aggregation.

The fifth schema, the master configuration, is `sentinel.config.model`. JSON Schemas of all five are generated from these models into
`schemas/json/` by `python -m sentinel.contract.generate`.
"""
