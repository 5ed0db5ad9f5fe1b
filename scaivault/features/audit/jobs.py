"""What the worker does for the trail."""

from scaivault.features.audit.service import AuditService


def make_months(service: AuditService) -> int:
    """Tables for the months to come, made long before an entry needs one. To be run at start and daily."""
    return service.make_months_ahead()
