"""Recorded data for backtests."""
