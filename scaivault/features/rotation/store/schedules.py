"""The table `secret_rotations`: when each secret is due, and whoever works it off takes it from here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Policy, Schedule, Scheduled, State, Terms
from scaivault.features.rotation.store.policies import PolicyRow
from scaivault.kernel.renewal import Renewal
from scaivault.storage.database import Session

# By which a secret's values are made: what is said of this one comes before what is said of many.
SECRET_POLICY: Final = "coalesce(secrets.secret_policy_id, policies.secret_policy_id)"  # noqa: S105 - SQL
_END_VERSIONS: Final = """
        UPDATE secret_versions
           SET readable_until = %(until)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s AND version < %(new_version)s
           AND (readable_until IS NULL OR readable_until > %(until)s)
"""
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


@dataclass(frozen=True, slots=True)
class _Path:
    path: str


@dataclass(frozen=True, slots=True)
class Open:
    """What of a schedule a rotation has to know: when it was due, what waits for it, by which policy it goes on."""

    due_at: datetime | None
    history_id: str | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class _OpenRow(PolicyRow):
    due_at: datetime | None = None
    history_id: str | None = None


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


def claim_open(tx: Session, tenant_id: str, path: str) -> Open | None:
    """What waits for a rotation of this secret, locked, and its policy, which stays as it is until then."""
    row = tx.one(
        _OpenRow,
        """
        SELECT under.due_at, under.history_id, policies.id, policies.name, policies.description,
               policies.interval_seconds, policies.grace_seconds, policies.warn_seconds, policies.auto_generate,
               policies.secret_policy_id, policies.webhook_ids, policies.is_active, policies.revision,
               policies.schedule_revision, policies.created_at, policies.updated_at
          FROM secret_rotations AS under
          JOIN rotation_policies AS policies
            ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
         WHERE under.tenant_id = %(tenant_id)s AND under.path = %(path)s AND policies.removed_at IS NULL
           FOR NO KEY UPDATE OF under
           FOR SHARE OF policies
        """,
        tenant_id=tenant_id,
        path=path,
    )
    return Open(row.due_at, row.history_id, row.policy()) if row else None


def change_schedules(tx: Session, tenant_id: str, paths: Sequence[str], schedules: Sequence[Schedule]) -> None:
    """Where these secrets stand now."""
    tx.run(
        """
        UPDATE secret_rotations
           SET state = after.state, due_at = after.due_at, wake_at = after.wake_at, failures = after.failures
          FROM unnest(%(paths)s::text[], %(states)s::text[], %(due_at)s::timestamptz[], %(wake_at)s::timestamptz[],
                      %(failures)s::integer[]) AS after (path, state, due_at, wake_at, failures)
         WHERE secret_rotations.tenant_id = %(tenant_id)s AND secret_rotations.path = after.path
        """,
        tenant_id=tenant_id,
        **_columns(paths, schedules),
    )


def change_revisions(
    tx: Session, tenant_id: str, paths: Sequence[str], schedules: Sequence[Schedule], schedule_revision: int
) -> None:
    """Where these secrets stand under this revision of their policy."""
    tx.run(
        """
        UPDATE secret_rotations
           SET state = after.state, due_at = after.due_at, wake_at = after.wake_at, failures = after.failures,
               schedule_revision = %(schedule_revision)s
          FROM unnest(%(paths)s::text[], %(states)s::text[], %(due_at)s::timestamptz[], %(wake_at)s::timestamptz[],
                      %(failures)s::integer[]) AS after (path, state, due_at, wake_at, failures)
         WHERE secret_rotations.tenant_id = %(tenant_id)s AND secret_rotations.path = after.path
        """,
        tenant_id=tenant_id,
        **_columns(paths, schedules),
        schedule_revision=schedule_revision,
    )


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


def change_rotated(
    tx: Session, tenant_id: str, renewal: Renewal, policy: Policy, after: Schedule, now: datetime, until: datetime
) -> None:
    """It has been rotated: everything begins anew, and what was there ends `until`, if it does not before."""
    tx.run(
        f"""
        WITH ended AS ({_END_VERSIONS})
        UPDATE secret_rotations
           SET counts_from = %(counts_from)s, rotated_at = %(now)s, state = %(state)s, due_at = %(due_at)s,
               wake_at = %(wake_at)s, failures = 0, history_id = NULL, schedule_revision = %(schedule_revision)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
        """,
        tenant_id=tenant_id,
        path=renewal.path,
        new_version=renewal.new_version,
        until=until,
        counts_from=after.counts_from,
        now=now,
        state=after.state.value,
        due_at=after.due_at,
        wake_at=after.wake_at,
        schedule_revision=policy.schedule_revision,
    )


def add_schedule(tx: Session, tenant_id: str, path: str, policy: Policy, schedule: Schedule) -> None:
    tx.run(
        """
        INSERT INTO secret_rotations
               (tenant_id, path, policy_id, schedule_revision, counts_from, state, due_at, wake_at)
        VALUES (%(tenant_id)s, %(path)s, %(policy_id)s, %(schedule_revision)s, %(counts_from)s, %(state)s, %(due_at)s,
                %(wake_at)s)
        """,
        tenant_id=tenant_id,
        path=path,
        policy_id=policy.id,
        schedule_revision=policy.schedule_revision,
        counts_from=schedule.counts_from,
        state=schedule.state.value,
        due_at=schedule.due_at,
        wake_at=schedule.wake_at,
    )


def remove_schedule(tx: Session, tenant_id: str, path: str) -> int:
    return tx.run(
        "DELETE FROM secret_rotations WHERE tenant_id = %(tenant_id)s AND path = %(path)s",
        tenant_id=tenant_id,
        path=path,
    )


def change_readable_until(tx: Session, tenant_id: str, path: str, new_version: int, until: datetime) -> None:
    """Let nobody read what came before this version after `until`; what was to end earlier does."""
    tx.run(
        _END_VERSIONS,
        tenant_id=tenant_id,
        path=path,
        new_version=new_version,
        until=until,
    )


def change_failing(session: Session, tenant_id: str, secret_policy_id: str, now: datetime) -> int:
    """Have what has failed by this secret policy tried again now; none that others hold."""
    return session.run(
        f"""
        UPDATE secret_rotations
           SET wake_at = %(now)s, failures = 0
         WHERE (tenant_id, path) IN (
               SELECT under.tenant_id, under.path
                 FROM secret_rotations AS under
                 JOIN rotation_policies AS policies
                   ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
                 JOIN secrets ON secrets.tenant_id = under.tenant_id AND secrets.path = under.path
                WHERE under.tenant_id = %(tenant_id)s AND under.failures > 0 AND under.wake_at > %(now)s
                  AND {SECRET_POLICY} = %(secret_policy_id)s
                  FOR NO KEY UPDATE OF under SKIP LOCKED)
        """,
        tenant_id=tenant_id,
        secret_policy_id=secret_policy_id,
        now=now,
    )


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


def remove_schedules(tx: Session, tenant_id: str, paths: Sequence[str], policy_id: str) -> list[str]:
    """Which of these were under the policy, and are not any more."""
    rows = tx.many(
        _Path,
        """
        DELETE FROM secret_rotations
         WHERE tenant_id = %(tenant_id)s AND path = ANY(%(paths)s) AND policy_id = %(policy_id)s
        RETURNING path
        """,
        tenant_id=tenant_id,
        paths=list(paths),
        policy_id=policy_id,
    )
    return [row.path for row in rows]


def _columns(paths: Sequence[str], schedules: Sequence[Schedule]) -> dict[str, object]:
    return {
        "paths": list(paths),
        "states": [each.state.value for each in schedules],
        "due_at": [each.due_at for each in schedules],
        "wake_at": [each.wake_at for each in schedules],
        "failures": [each.failures for each in schedules],
    }
