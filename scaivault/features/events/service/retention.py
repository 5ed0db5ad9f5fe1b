"""Forgetting what is older than anybody asks for, a little at a time."""

from datetime import timedelta

from scaivault.features.events.model.webhooks import KEPT
from scaivault.features.events.store import outbox, secrets, statistics
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database

BATCH = 500
HOURS_KEPT = timedelta(hours=48)


class Retention:
    """Events and their deliveries after a week, statistics after two days, secrets when they have expired."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run(self) -> int:
        """A bounded step; how much was forgotten. Each statement is short, so that nobody waits for it."""
        now = self._clock.now()
        with self._database.session() as session:
            removed = outbox.remove_events_before(session, now - KEPT, BATCH)
            if removed == 0:
                statistics.remove_hours_before(session, now - HOURS_KEPT)
                secrets.remove_expired_secrets(session, now)
        return removed
