"""How deliveries of each webhook went, by the hour."""

from datetime import datetime

from scaivault.features.events.model.webhooks import Statistics
from scaivault.storage.database import Session


def add_to_hour(
    tx: Session, tenant_id: str, webhook_id: str, hour: datetime, succeeded: int, failed: int, milliseconds: float
) -> None:
    tx.run(
        """
        INSERT INTO webhook_hours (tenant_id, webhook_id, hour, succeeded, failed, milliseconds)
        VALUES (%(tenant_id)s, %(webhook_id)s, %(hour)s, %(succeeded)s, %(failed)s, %(milliseconds)s)
            ON CONFLICT ON CONSTRAINT webhook_hours_pkey DO UPDATE
           SET succeeded = webhook_hours.succeeded + excluded.succeeded,
               failed = webhook_hours.failed + excluded.failed,
               milliseconds = webhook_hours.milliseconds + excluded.milliseconds
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        hour=hour,
        succeeded=succeeded,
        failed=failed,
        milliseconds=milliseconds,
    )


def find_statistics(session: Session, tenant_id: str, webhook_id: str, since: datetime) -> Statistics:
    """The sum of the hours since then."""
    row = session.one(
        Statistics,
        """
        SELECT coalesce(sum(succeeded), 0)::bigint AS succeeded, coalesce(sum(failed), 0)::bigint AS failed,
               coalesce(sum(milliseconds), 0) AS milliseconds
          FROM webhook_hours
         WHERE tenant_id = %(tenant_id)s AND webhook_id = %(webhook_id)s AND hour > %(since)s
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        since=since,
    )
    return row or Statistics(0, 0, 0.0)


def remove_hours_before(session: Session, instant: datetime) -> int:
    """Forget all tenants' statistics of hours that nobody asks for any more."""
    return session.run("DELETE FROM webhook_hours WHERE hour < %(instant)s", instant=instant)
