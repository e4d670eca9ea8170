"""Builders that the topologies share. Each takes tables or streams and returns tables or streams."""
