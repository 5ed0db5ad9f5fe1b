"""What the faults of metrics are tried on."""

from tests.faults.metrics_vault import open_vault

__all__ = ["open_vault"]
