"""Which secrets are under which policy, for who asks and for who renews one now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Assignment, State, Target
from scaivault.features.rotation.store.schedules import SECRET_POLICY
from scaivault.storage.database import Session

_ASSIGNED: Final = """
        SELECT under.path, under.policy_id, policies.name AS policy_name, policies.auto_generate, under.state,
               under.due_at, under.rotated_at, policies.grace_seconds,
               coalesce(failed.attempts, 0) AS attempts, failed.reason AS error_code,
               CASE WHEN failed.id IS NOT NULL THEN under.wake_at END AS next_attempt_at
          FROM secret_rotations AS under
          JOIN rotation_policies AS policies
            ON policies.tenant_id = under.tenant_id AND policies.id = under.policy_id
          LEFT JOIN rotation_history AS failed
            ON failed.tenant_id = under.tenant_id AND failed.id = under.history_id AND failed.status = 'failed'
           AND under.failures > 0
"""


@dataclass(frozen=True, slots=True)
class _Path:
    path: str


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


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
    attempts: int
    error_code: str | None
    next_attempt_at: datetime | None

    def assignment(self) -> Assignment:
        state = State(self.state)
        return Assignment(
            self.path,
            self.policy_id,
            self.policy_name,
            self.auto_generate,
            State.FAILING if self.attempts and state is State.SCHEDULED else state,
            self.due_at,
            self.rotated_at,
            self.grace_seconds,
            self.attempts,
            self.error_code,
            self.next_attempt_at,
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


def find_target(session: Session, tenant_id: str, path: str) -> Target | None:
    """A live secret, and by which policies it would be renewed now."""
    return session.one(
        Target,
        f"""
        SELECT secrets.path, secrets.current_version, policies.id AS policy_id,
               {SECRET_POLICY} AS secret_policy_id
          FROM secrets
          LEFT JOIN rotation_policies AS policies
            ON policies.tenant_id = secrets.tenant_id AND policies.id = secrets.rotation_policy_id
           AND policies.removed_at IS NULL
         WHERE secrets.tenant_id = %(tenant_id)s AND secrets.path = %(path)s AND secrets.deleted_at IS NULL
        """,
        tenant_id=tenant_id,
        path=path,
    )


def list_secret_policies(session: Session, tenant_id: str, paths: Sequence[str]) -> list[str]:
    """By which secret policies these secrets would be renewed now: as often as there are secrets by each."""
    rows = session.many(
        _Id,
        f"""
        SELECT {SECRET_POLICY} AS id
          FROM secrets
          LEFT JOIN rotation_policies AS policies
            ON policies.tenant_id = secrets.tenant_id AND policies.id = secrets.rotation_policy_id
           AND policies.removed_at IS NULL
         WHERE secrets.tenant_id = %(tenant_id)s AND secrets.path = ANY(%(paths)s) AND secrets.deleted_at IS NULL
           AND {SECRET_POLICY} IS NOT NULL
        """,
        tenant_id=tenant_id,
        paths=list(paths),
    )
    return [row.id for row in rows]


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


def list_assignments(
    session: Session, tenant_id: str, policy_id: str, after: str | None, limit: int
) -> list[Assignment]:
    """Secrets under this policy by path, from the first path beyond `after`."""
    rows = session.many(
        _Assigned,
        f"""
        {_ASSIGNED}
         WHERE under.tenant_id = %(tenant_id)s AND under.policy_id = %(policy_id)s AND NOT under.is_deleted
           AND policies.removed_at IS NULL
           AND (%(after)s::text IS NULL OR under.path > %(after)s)
         ORDER BY under.path
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        after=after,
        limit=limit,
    )
    return [row.assignment() for row in rows]


def find_assignment(session: Session, tenant_id: str, path: str) -> Assignment | None:
    row = session.one(
        _Assigned,
        f"""
        {_ASSIGNED}
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
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Assignment]:
    """Secrets that are due up to `until`, and not before `since`, first those that are due first."""
    rows = session.many(
        _Assigned,
        f"""
        {_ASSIGNED}
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
