"""Keeps event time moving in partitions that are quiet.

Event time in Flink advances with records. A partition without any holds it back for everybody until it counts as idle; and when all are quiet it
stands still: the last panes and minutes never close, and the outage that matters most, nothing at all arriving, is never noticed. So this service
writes a record without an event (`sentinel.events.model.PULSE`) into each telemetry partition that has been quiet for some seconds. Its timestamp
goes on from the newest event at the speed of the clock. It lies *behind* the partition's own records, so a job that is late reads them first: a
pulse makes nothing late that was there before it.
"""
