"""The comparison engines' programs; they run in bench/.venv and import nothing of the product."""

PULSE = b"sentinel-pulse"
"""What the product writes into quiet partitions, so that event time goes on there: no event."""
