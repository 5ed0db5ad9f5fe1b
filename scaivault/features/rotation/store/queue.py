"""What is due of the table `secret_rotations`, as whoever works it off takes it from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Schedule, Scheduled, State, Terms
from scaivault.features.rotation.store.schedules import SECRET_POLICY
from scaivault.storage.database import Session

_SCHEDULED: Final = f"""
        SELECT tenants.partner_id, under.tenant_id, under.path, secrets.secret_type, secrets.metadata,
               secrets.current_version,
               {SECRET_POLICY} AS secret_policy_id,
               under.policy_id, policies.name AS policy_name, policies.interval_seconds, policies.grace_seconds,
               policies.warn_seconds, policies.auto_generate,
               policies.is_active AND policies.removed_at IS NULL AS is_active, under.counts_from, under.state,
               under.due_at, under.wake_at, under.failures, under.history_id, policies.webhook_ids,
               under.schedule_revision <= policies.schedule_revision AS is_of_one_piece
          FROM secret_rotations AS under
          JOIN rotation_policies AS policies
            ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
          JOIN secrets ON secrets.tenant_id = under.tenant_id AND secrets.path = under.path
          JOIN tenants ON tenants.id = under.tenant_id
"""


@dataclass(frozen=True, slots=True)
class _Row:
    partner_id: str
    tenant_id: str
    path: str
    secret_type: str
    metadata: Mapping[str, object]
    current_version: int
    secret_policy_id: str | None
    policy_id: str
    policy_name: str
    interval_seconds: int
    grace_seconds: int
    warn_seconds: Sequence[int]
    auto_generate: bool
    is_active: bool
    counts_from: datetime
    state: str
    due_at: datetime | None
    wake_at: datetime | None
    failures: int
    history_id: str | None
    webhook_ids: Sequence[str]
    is_of_one_piece: bool
    """False where a policy was read before a change that its secret's schedule was locked after."""

    def scheduled(self) -> Scheduled:
        return Scheduled(
            partner_id=self.partner_id,
            tenant_id=self.tenant_id,
            path=self.path,
            secret_type=self.secret_type,
            metadata=self.metadata,
            current_version=self.current_version,
            secret_policy_id=self.secret_policy_id,
            policy_id=self.policy_id,
            policy_name=self.policy_name,
            terms=Terms.of_seconds(
                self.interval_seconds, self.grace_seconds, self.warn_seconds, self.auto_generate, self.is_active
            ),
            schedule=Schedule(self.counts_from, State(self.state), self.due_at, self.wake_at, self.failures),
            history_id=self.history_id,
            webhook_ids=self.webhook_ids,
        )


@dataclass(frozen=True, slots=True)
class _Tenant:
    tenant_id: str


def list_due_tenants(session: Session, now: datetime) -> list[str]:
    """Who has something due. Walks what is due, in the index alone, and nothing else."""
    rows = session.many(
        _Tenant,
        """
        SELECT DISTINCT tenant_id
          FROM secret_rotations
         WHERE wake_at <= %(now)s AND NOT is_deleted
        """,
        now=now,
    )
    return [row.tenant_id for row in rows]


def claim_due(tx: Session, tenant_id: str, now: datetime, limit: int) -> list[Scheduled]:
    """The tenant's secrets that are to be looked at, what is due longest first, locked; none that others hold."""
    rows = tx.many(
        _Row,
        f"""
        {_SCHEDULED}
         WHERE under.tenant_id = %(tenant_id)s AND under.wake_at <= %(now)s AND NOT under.is_deleted
         ORDER BY under.wake_at
         LIMIT %(limit)s
           FOR NO KEY UPDATE OF under SKIP LOCKED
        """,
        tenant_id=tenant_id,
        now=now,
        limit=limit,
    )
    return [row.scheduled() for row in rows if row.is_of_one_piece]


def claim_schedules(tx: Session, tenant_id: str, paths: Sequence[str]) -> list[Scheduled]:
    """Those of these secrets that are under a policy and not in the trash, their schedules locked in order."""
    rows = tx.many(
        _Row,
        f"""
        {_SCHEDULED}
         WHERE under.tenant_id = %(tenant_id)s AND under.path = ANY(%(paths)s) AND NOT under.is_deleted
         ORDER BY under.path
           FOR NO KEY UPDATE OF under
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )
    return [row.scheduled() for row in rows]


def change_history_ids(tx: Session, tenant_id: str, paths: Sequence[str], history_ids: Sequence[str]) -> None:
    """Which line of the history is about what each of these waits for."""
    tx.run(
        """
        UPDATE secret_rotations
           SET history_id = opened.history_id
          FROM unnest(%(paths)s::text[], %(history_ids)s::text[]) AS opened (path, history_id)
         WHERE secret_rotations.tenant_id = %(tenant_id)s AND secret_rotations.path = opened.path
        """,
        tenant_id=tenant_id,
        paths=list(paths),
        history_ids=list(history_ids),
    )
