"""LLM-Shield's gRPC door: the client that enforces and revokes, and a reference server to try it with."""
