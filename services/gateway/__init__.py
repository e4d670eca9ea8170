"""The doors of the product: telemetry by gRPC, HTTP, OTLP and AMQP, checked, limited, and durable in Kafka or on disk before it is acknowledged."""
