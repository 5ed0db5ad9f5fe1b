"""Secrets that renew themselves, or make somebody renew them."""
