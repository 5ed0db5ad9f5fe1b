"""`/v1/secret-policies` over HTTP."""

from scaivault.features.generators.routes.table import SecretPolicyRoutes, routes

__all__ = ["SecretPolicyRoutes", "routes"]
