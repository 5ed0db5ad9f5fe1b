"""The series that rules and panels may ask for."""

from scaivault.observability.catalogue import CATALOGUE

EXISTING = tuple(series for series in CATALOGUE if series.is_here)
