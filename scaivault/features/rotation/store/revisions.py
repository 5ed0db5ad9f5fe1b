"""Schedules by an older revision of their policy than there is."""

from dataclasses import dataclass
from datetime import datetime

from scaivault.features.rotation.model import Schedule, State
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class Stale:
    """A secret that is scheduled by an older revision of its policy."""

    path: str
    counts_from: datetime
    state: str
    due_at: datetime | None
    wake_at: datetime | None
    failures: int

    def schedule(self) -> Schedule:
        return Schedule(self.counts_from, State(self.state), self.due_at, self.wake_at, self.failures)


@dataclass(frozen=True, slots=True)
class _Path:
    path: str


def claim_stale(tx: Session, tenant_id: str, policy_id: str, schedule_revision: int, limit: int) -> list[Stale]:
    """Secrets that are scheduled by an older revision of their policy, locked."""
    return tx.many(
        Stale,
        """
        SELECT path, counts_from, state, due_at, wake_at, failures
          FROM secret_rotations
         WHERE tenant_id = %(tenant_id)s AND policy_id = %(policy_id)s AND schedule_revision < %(schedule_revision)s
         ORDER BY schedule_revision, path
         LIMIT %(limit)s
           FOR NO KEY UPDATE SKIP LOCKED
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        schedule_revision=schedule_revision,
        limit=limit,
    )


def has_stale(session: Session, tenant_id: str, policy_id: str, schedule_revision: int) -> bool:
    row = session.one(
        _Path,
        """
        SELECT path
          FROM secret_rotations
         WHERE tenant_id = %(tenant_id)s AND policy_id = %(policy_id)s AND schedule_revision < %(schedule_revision)s
         LIMIT 1
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        schedule_revision=schedule_revision,
    )
    return row is not None
