"""The table `secret_rotations`: by which policy a secret is renewed, and when it is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Policy, Schedule
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


def change_schedules(
    tx: Session,
    tenant_id: str,
    paths: Sequence[str],
    schedules: Sequence[Schedule],
    schedule_revision: int | None = None,
) -> None:
    """Where these secrets stand now: under the revision of their policy that they were under, or under this one."""
    tx.run(
        """
        UPDATE secret_rotations
           SET state = after.state, due_at = after.due_at, wake_at = after.wake_at, failures = after.failures,
               schedule_revision = coalesce(%(schedule_revision)s, secret_rotations.schedule_revision)
          FROM unnest(%(paths)s::text[], %(states)s::text[], %(due_at)s::timestamptz[], %(wake_at)s::timestamptz[],
                      %(failures)s::integer[]) AS after (path, state, due_at, wake_at, failures)
         WHERE secret_rotations.tenant_id = %(tenant_id)s AND secret_rotations.path = after.path
        """,
        tenant_id=tenant_id,
        schedule_revision=schedule_revision,
        paths=list(paths),
        states=[each.state.value for each in schedules],
        due_at=[each.due_at for each in schedules],
        wake_at=[each.wake_at for each in schedules],
        failures=[each.failures for each in schedules],
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


def remove_schedule(tx: Session, tenant_id: str, path: str) -> int:
    return tx.run(
        "DELETE FROM secret_rotations WHERE tenant_id = %(tenant_id)s AND path = %(path)s",
        tenant_id=tenant_id,
        path=path,
    )


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
