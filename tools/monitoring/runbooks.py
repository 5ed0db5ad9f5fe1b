"""Where the runbooks of docs/runbooks are published. Whoever keeps them elsewhere changes this one line."""

RUNBOOKS = "https://docs.scailabs.ai/scaivault/runbooks"
