"""Configuration versions in Postgres (table sentinel.config_versions), and their publication on the compacted topic `sentinel-config`."""
