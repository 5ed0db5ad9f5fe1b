"""How we speak HTTP. No feature inside."""
