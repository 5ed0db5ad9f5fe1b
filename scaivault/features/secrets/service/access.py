"""Who read what last, kept cheaply: noted in memory at each read, written behind in batches.

At most a minute old, and what a crash forgets the audit trail still knows. A row update at each read would double
the cost of reading and make readers of one secret wait for each other.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.secrets import store
from scaivault.storage.database import Database

MOST_NOTES = 20_000
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class _Note:
    at: datetime
    by: str


class AccessNotes:
    """The newest read of each secret since the last flush."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._notes: dict[tuple[str, str], _Note] = {}

    def note(self, tenant_id: str, path: str, at: datetime, by: str) -> None:
        """Remember a read. When full, the read is left to the audit trail alone: memory is bounded, reads are not."""
        place = (tenant_id, path)
        with self._turn:
            if place in self._notes or len(self._notes) < MOST_NOTES:
                self._notes[place] = _Note(at, by)

    def flush(self) -> None:
        """Write all notes. What can not be written now, as a writer holds it or the database is away, is kept."""
        with self._turn:
            notes, self._notes = self._notes, {}
        pending = sorted(notes)
        try:
            for start in range(0, len(pending), BATCH):
                places = pending[start : start + BATCH]
                held = self._write({place: notes[place] for place in places})
                for place in set(places) - held:
                    del notes[place]
        finally:
            with self._turn:
                self._notes = {**notes, **self._notes}

    def _write(self, notes: Mapping[tuple[str, str], _Note]) -> set[tuple[str, str]]:
        with self._database.session() as session:
            held = store.change_last_accessed(
                session,
                [tenant_id for tenant_id, _ in notes],
                [path for _, path in notes],
                [note.at for note in notes.values()],
                [note.by for note in notes.values()],
            )
        return {(secret.tenant_id, secret.path) for secret in held}
