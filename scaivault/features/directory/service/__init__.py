"""Use cases: looking around, roles, and what the identity provider tells."""
