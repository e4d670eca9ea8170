"""Topologies that exist only to be measured."""
