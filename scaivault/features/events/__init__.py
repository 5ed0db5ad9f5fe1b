"""What is told outside: events, and the webhooks that they go to."""
