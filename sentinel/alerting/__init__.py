"""Alerting core: from anomalies to alerts and notification records. Plain Python, no engine import.

Use, for every anomaly, keyed by the text form of the alert key:

    for key in match(anomaly, config):                                   # stateless: matching.py
        group = AlertGroup.from_state(key, stored_bytes, config)         # group.py; `key` may be its text form
        outputs = group.on_anomaly(anomaly, now_ms)                      # list of AlertRecord | NotificationRecord (records.py)
        due_ms = group.next_timer()                                      # processing time, or None
        stored_bytes = group.to_state()                                  # empty bytes: forget the key

and `group.on_timer(now_ms)` when the time comes. Time is always a parameter, so a simulation is exact.
"""
