"""What the worker does for the trail."""

from scaivault.features.audit.service import make_months_ahead
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database


def make_months(database: Database, clock: Clock) -> int:
    """Tables for the months to come, made long before an entry needs one, so that a fault has months to be told in."""
    return make_months_ahead(database, clock)
