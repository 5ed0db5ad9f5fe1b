"""What runs beside requests."""

from scaivault.features.secrets.service.access import AccessNotes


def flush_access_notes(notes: AccessNotes) -> None:
    notes.flush()
