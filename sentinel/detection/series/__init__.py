"""Detectors of one series of (time, value): the same classes judge rows of a file and blocks of a metric in the job."""
