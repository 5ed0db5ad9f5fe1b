"""The exporter: looks at PostgreSQL, Redis and the key service from beside the vault, and tells Prometheus."""
