"""Keeps event time moving while no telemetry arrives.

Event time in Flink advances with records. When every source goes quiet it stands still: the last panes and minutes never close, and the outage
that matters most, nothing at all arriving, is never noticed. So when telemetry has been quiet for a while this service writes records to the topic
`sentinel-pulse` whose timestamps continue from the last telemetry event at the speed of the clock. It never runs ahead of the clock nor ahead of
what telemetry would have said, so telemetry that resumes is not late for it.
"""
