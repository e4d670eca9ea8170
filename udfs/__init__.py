"""Vectorised functions for the Table API."""
