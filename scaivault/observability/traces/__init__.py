"""Spans for OpenTelemetry. Whoever imports `tracing` loads the SDK: bootstrap does where a collector is set."""
