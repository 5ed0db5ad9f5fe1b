"""The table `secret_rotations`: when each secret is due, and whoever works it off takes it from here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Assignment, Policy, Schedule, Scheduled, State, Target, Terms
from scaivault.features.rotation.store.policies import PolicyRow
from scaivault.kernel.paths import SecretPath
from scaivault.storage.database import Session

_SCHEDULED: Final = """
        SELECT tenants.partner_id, under.tenant_id, under.path, secrets.secret_type, secrets.metadata,
               secrets.current_version,
               coalesce(policies.secret_policy_id, secrets.secret_policy_id) AS secret_policy_id,
               under.policy_id, policies.name AS policy_name, policies.interval_seconds, policies.grace_seconds,
               policies.warn_seconds, policies.auto_generate,
               policies.is_active AND policies.removed_at IS NULL AS is_active, under.counts_from, under.state,
               under.due_at, under.wake_at, under.failures, under.history_id,
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
        )


@dataclass(frozen=True, slots=True)
class _Tenant:
    tenant_id: str


@dataclass(frozen=True, slots=True)
class _Path:
    path: str


@dataclass(frozen=True, slots=True)
class _Assigned:
    path: str
    policy_id: str
    policy_name: str
    auto_generate: bool
    state: str
    due_at: datetime | None
    rotated_at: datetime | None
    grace_seconds: int

    def assignment(self) -> Assignment:
        return Assignment(
            self.path,
            self.policy_id,
            self.policy_name,
            self.auto_generate,
            State(self.state),
            self.due_at,
            self.rotated_at,
            self.grace_seconds,
        )


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


def claim_schedule(tx: Session, tenant_id: str, path: str) -> Scheduled | None:
    """One secret's, locked: None if it is under no policy, or in the trash."""
    row = tx.one(
        _Row,
        f"""
        {_SCHEDULED}
         WHERE under.tenant_id = %(tenant_id)s AND under.path = %(path)s AND NOT under.is_deleted
           FOR NO KEY UPDATE OF under
        """,
        tenant_id=tenant_id,
        path=path,
    )
    return row.scheduled() if row else None


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
        paths=list(paths),
        states=[each.state.value for each in schedules],
        due_at=[each.due_at for each in schedules],
        wake_at=[each.wake_at for each in schedules],
        failures=[each.failures for each in schedules],
    )


def change_revisions(
    tx: Session, tenant_id: str, paths: Sequence[str], schedules: Sequence[Schedule], schedule_revision: int
) -> None:
    """Where these secrets stand under this revision of their policy."""
    tx.run(
        """
        UPDATE secret_rotations
           SET state = after.state, due_at = after.due_at, wake_at = after.wake_at,
               schedule_revision = %(schedule_revision)s
          FROM unnest(%(paths)s::text[], %(states)s::text[], %(due_at)s::timestamptz[], %(wake_at)s::timestamptz[])
                   AS after (path, state, due_at, wake_at)
         WHERE secret_rotations.tenant_id = %(tenant_id)s AND secret_rotations.path = after.path
        """,
        tenant_id=tenant_id,
        paths=list(paths),
        states=[each.state.value for each in schedules],
        due_at=[each.due_at for each in schedules],
        wake_at=[each.wake_at for each in schedules],
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


def change_rotated(tx: Session, tenant_id: str, path: str, policy: Policy, after: Schedule, now: datetime) -> None:
    """It has been rotated: everything begins anew."""
    tx.run(
        """
        UPDATE secret_rotations
           SET counts_from = %(counts_from)s, rotated_at = %(now)s, state = %(state)s, due_at = %(due_at)s,
               wake_at = %(wake_at)s, failures = 0, history_id = NULL, schedule_revision = %(schedule_revision)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s
        """,
        tenant_id=tenant_id,
        path=path,
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


def change_policy_of(tx: Session, tenant_id: str, paths: Sequence[str], policy_id: str | None) -> None:
    """What these secrets' readers are shown of who renews them."""
    tx.run(
        """
        UPDATE secrets
           SET rotation_policy_id = %(policy_id)s
         WHERE tenant_id = %(tenant_id)s AND path = ANY(%(paths)s)
        """,
        tenant_id=tenant_id,
        paths=list(paths),
        policy_id=policy_id,
    )


def change_readable_until(tx: Session, tenant_id: str, path: str, before_version: int, until: datetime) -> None:
    """Let nobody read these versions after `until`; what was to end earlier does."""
    tx.run(
        """
        UPDATE secret_versions
           SET readable_until = %(until)s
         WHERE tenant_id = %(tenant_id)s AND path = %(path)s AND version < %(before_version)s
           AND (readable_until IS NULL OR readable_until > %(until)s)
        """,
        tenant_id=tenant_id,
        path=path,
        before_version=before_version,
        until=until,
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


def claim_under(tx: Session, tenant_id: str, policy_id: str, limit: int) -> list[str]:
    """Paths of secrets under this policy, the secrets locked; without those that others hold."""
    rows = tx.many(
        _Path,
        """
        SELECT secrets.path
          FROM secret_rotations AS under
          JOIN secrets ON secrets.tenant_id = under.tenant_id AND secrets.path = under.path
         WHERE under.tenant_id = %(tenant_id)s AND under.policy_id = %(policy_id)s
         LIMIT %(limit)s
           FOR NO KEY UPDATE OF secrets SKIP LOCKED
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        limit=limit,
    )
    return [row.path for row in rows]


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


def find_target(session: Session, tenant_id: str, path: str) -> Target | None:
    """A live secret, and by which policies it would be renewed now."""
    return session.one(
        Target,
        """
        SELECT secrets.path, secrets.current_version, policies.id AS policy_id,
               coalesce(policies.secret_policy_id, secrets.secret_policy_id) AS secret_policy_id
          FROM secrets
          LEFT JOIN rotation_policies AS policies
            ON policies.tenant_id = secrets.tenant_id AND policies.id = secrets.rotation_policy_id
           AND policies.removed_at IS NULL
         WHERE secrets.tenant_id = %(tenant_id)s AND secrets.path = %(path)s AND secrets.deleted_at IS NULL
        """,
        tenant_id=tenant_id,
        path=path,
    )


def list_under(session: Session, tenant_id: str, policy_id: str, limit: int) -> list[str]:
    """Paths of live secrets under this policy."""
    rows = session.many(
        _Path,
        """
        SELECT path
          FROM secret_rotations
         WHERE tenant_id = %(tenant_id)s AND policy_id = %(policy_id)s AND NOT is_deleted
         ORDER BY path
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        limit=limit,
    )
    return [row.path for row in rows]


def find_assignment(session: Session, tenant_id: str, path: str) -> Assignment | None:
    row = session.one(
        _Assigned,
        """
        SELECT under.path, under.policy_id, policies.name AS policy_name, policies.auto_generate, under.state,
               under.due_at, under.rotated_at, policies.grace_seconds
          FROM secret_rotations AS under
          JOIN rotation_policies AS policies
            ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
         WHERE under.tenant_id = %(tenant_id)s AND under.path = %(path)s AND policies.removed_at IS NULL
        """,
        tenant_id=tenant_id,
        path=path,
    )
    return row.assignment() if row else None


def list_due(
    session: Session,
    tenant_id: str,
    *,
    since: datetime | None,
    until: datetime,
    policy_id: str | None,
    after: tuple[datetime, SecretPath | str] | None,
    limit: int,
) -> list[Assignment]:
    """Secrets that are due up to `until`, and not before `since`, first those that are due first."""
    rows = session.many(
        _Assigned,
        """
        SELECT under.path, under.policy_id, policies.name AS policy_name, policies.auto_generate, under.state,
               under.due_at, under.rotated_at, policies.grace_seconds
          FROM secret_rotations AS under
          JOIN rotation_policies AS policies
            ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
         WHERE under.tenant_id = %(tenant_id)s AND NOT under.is_deleted
           AND policies.is_active AND policies.removed_at IS NULL
           AND under.due_at <= %(until)s
           AND (%(since)s::timestamptz IS NULL OR under.due_at > %(since)s)
           AND (%(policy_id)s::text IS NULL OR under.policy_id = %(policy_id)s)
           AND (%(after_due)s::timestamptz IS NULL
                OR (under.due_at, under.path) > (%(after_due)s::timestamptz, %(after_path)s::text))
         ORDER BY under.due_at, under.path
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        since=since,
        until=until,
        policy_id=policy_id,
        after_due=after[0] if after else None,
        after_path=after[1] if after else None,
        limit=limit,
    )
    return [row.assignment() for row in rows]
