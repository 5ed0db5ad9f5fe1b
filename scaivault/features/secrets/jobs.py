"""What runs beside requests."""

from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.expiry import ExpiryWatch


def flush_access_notes(notes: AccessNotes) -> None:
    notes.flush()


def tell_of_ends(watch: ExpiryWatch) -> int:
    return watch.run()
