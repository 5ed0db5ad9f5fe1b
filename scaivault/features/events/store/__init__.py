"""SQL of events, webhooks and deliveries. A function, a statement."""
