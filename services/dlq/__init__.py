"""Dead letters of the ingestion: reading them and sending them again."""
