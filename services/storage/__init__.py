"""Durable stores: Postgres migrations and OpenSearch index templates."""
