"""`/v1/rotation`, and a secret's own `:rotate`."""

from scaivault.features.rotation.routes.table import RotationRoutes, routes

__all__ = ["RotationRoutes", "routes"]
