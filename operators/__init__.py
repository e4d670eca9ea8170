"""Thin Flink adapters: they move state, timers and configuration; what happens is in `sentinel`."""
