"""Who is told nothing for now: fragments of SQL, so that there is one answer wherever it matters."""

from typing import Final, LiteralString

# Of `subscriptions`: whether it is delivered, and its owner administers the tenant no more (migration 0021).
IS_SUSPENDED: Final[LiteralString] = """
               EXISTS (SELECT
                         FROM suspended_subscriptions AS suspended
                        WHERE suspended.tenant_id = subscriptions.tenant_id AND suspended.id = subscriptions.id)
"""

# Of `webhooks`, a subscription's included: whether it is told anything now.
IS_TOLD: Final[LiteralString] = """
               (is_enabled AND NOT EXISTS (
                       SELECT
                         FROM suspended_subscriptions AS suspended
                        WHERE suspended.tenant_id = webhooks.tenant_id AND suspended.id = webhooks.id))
"""
