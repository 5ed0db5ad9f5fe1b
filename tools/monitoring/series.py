"""The series that rules and panels may ask for."""

from scaivault.observability.catalogue import CATALOGUE

# They come with this release, from the feature that makes them; then this goes.
AWAITED = (
    "scaivault_rotation_oldest_due_seconds",
    "scaivault_rotation_queue_depth",
    "scaivault_secret_rotations_total",
    "scaivault_secrets_rotation_overdue",
)
EXISTING = tuple(series for series in CATALOGUE if series.is_here or series.name in AWAITED)
