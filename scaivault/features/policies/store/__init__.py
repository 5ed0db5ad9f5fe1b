"""Policies and bindings in PostgreSQL. One statement a function; the tenant is in every predicate."""
