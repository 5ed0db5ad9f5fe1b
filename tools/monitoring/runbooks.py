"""Where the runbooks of docs/runbooks are published. Their index says how they are led elsewhere."""

RUNBOOK_BASE = "https://docs.scailabs.ai/scaivault/runbooks"
