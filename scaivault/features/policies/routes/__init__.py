"""`/v1/policies` over HTTP."""

from scaivault.features.policies.routes.table import PolicyRoutes, routes

__all__ = ["PolicyRoutes", "routes"]
