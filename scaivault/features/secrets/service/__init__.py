"""Use cases of secrets: authorise, decide, one transaction."""
