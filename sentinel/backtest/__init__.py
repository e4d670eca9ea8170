"""Detectors on recorded data: rows of files, and stored one-minute rollups. The same classes as in the job."""
