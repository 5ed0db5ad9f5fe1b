"""The table `rotation_policies`. A policy that is deleted is there for the upkeep only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scaivault.features.rotation.model import Policy, Terms
from scaivault.storage.database import Session

NAME_TAKEN: Final = "rotation_policies_name_key"
COLUMNS: Final = """
    id, name, description, interval_seconds, grace_seconds, warn_seconds, auto_generate, secret_policy_id, webhook_ids,
    is_active, revision, schedule_revision, created_at, updated_at
"""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    id: str
    name: str
    description: str
    interval_seconds: int
    grace_seconds: int
    warn_seconds: Sequence[int]
    auto_generate: bool
    secret_policy_id: str | None
    webhook_ids: Sequence[str]
    is_active: bool
    revision: int
    schedule_revision: int
    created_at: datetime
    updated_at: datetime
    secrets_count: int = 0

    def policy(self) -> Policy:
        return Policy(
            id=self.id,
            name=self.name,
            description=self.description,
            terms=Terms.of_seconds(
                self.interval_seconds, self.grace_seconds, self.warn_seconds, self.auto_generate, self.is_active
            ),
            secret_policy_id=self.secret_policy_id,
            webhook_ids=tuple(self.webhook_ids),
            revision=self.revision,
            schedule_revision=self.schedule_revision,
            created_at=self.created_at,
            updated_at=self.updated_at,
            secrets_count=self.secrets_count,
        )


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A policy whose secrets are to be scheduled anew, or detached."""

    tenant_id: str
    id: str
    is_removed: bool


@dataclass(frozen=True, slots=True)
class _Number:
    number: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


def list_policies(
    session: Session, tenant_id: str, *, after: str | None, active_only: bool, limit: int
) -> list[Policy]:
    """Policies by name, from the first name beyond `after`, with how many secrets are under each."""
    rows = session.many(
        PolicyRow,
        f"""
        SELECT {COLUMNS},
               (SELECT count(*) FROM secret_rotations AS under
                 WHERE under.tenant_id = policies.tenant_id AND under.policy_id = policies.id AND NOT is_deleted)
                   AS secrets_count
          FROM rotation_policies AS policies
         WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL
           AND (%(after)s::text IS NULL OR name > %(after)s)
           AND (is_active OR NOT %(active_only)s)
         ORDER BY name
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        after=after,
        active_only=active_only,
        limit=limit,
    )
    return [row.policy() for row in rows]


def count_policies(session: Session, tenant_id: str) -> int:
    row = session.one(
        _Number,
        "SELECT count(*) AS number FROM rotation_policies WHERE tenant_id = %(tenant_id)s AND removed_at IS NULL",
        tenant_id=tenant_id,
    )
    return row.number if row else 0


def find_policy(session: Session, tenant_id: str, policy_id: str) -> Policy | None:
    row = session.one(
        PolicyRow,
        f"""
        SELECT {COLUMNS},
               (SELECT count(*) FROM secret_rotations AS under
                 WHERE under.tenant_id = policies.tenant_id AND under.policy_id = policies.id AND NOT is_deleted)
                   AS secrets_count
          FROM rotation_policies AS policies
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s AND removed_at IS NULL
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def claim_policy(tx: Session, tenant_id: str, policy_id: str) -> Policy | None:
    """The policy, locked: nobody schedules by it, changes or deletes it until the transaction ends."""
    row = tx.one(
        PolicyRow,
        f"""
        SELECT {COLUMNS}
          FROM rotation_policies
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s AND removed_at IS NULL
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def claim_terms(tx: Session, tenant_id: str, policy_id: str) -> Policy | None:
    """The policy as it stays until the transaction ends; others may go by it meanwhile."""
    row = tx.one(
        PolicyRow,
        f"""
        SELECT {COLUMNS}
          FROM rotation_policies
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s AND removed_at IS NULL
           FOR SHARE
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def add_policy(tx: Session, tenant_id: str, policy: Policy) -> None:
    tx.run(
        """
        INSERT INTO rotation_policies
               (tenant_id, id, name, description, interval_seconds, grace_seconds, warn_seconds, auto_generate,
                secret_policy_id, webhook_ids, is_active, revision, schedule_revision, created_at, updated_at)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(description)s, %(interval_seconds)s, %(grace_seconds)s,
                %(warn_seconds)s, %(auto_generate)s, %(secret_policy_id)s, %(webhook_ids)s, %(is_active)s,
                %(revision)s, %(schedule_revision)s, %(created_at)s, %(updated_at)s)
        """,
        **_facts(tenant_id, policy),
        created_at=policy.created_at,
    )


def change_policy(tx: Session, tenant_id: str, policy: Policy) -> None:
    """Give the row the policy's content; its secrets are to be scheduled anew if that moves due times."""
    tx.run(
        """
        UPDATE rotation_policies
           SET name = %(name)s, description = %(description)s, interval_seconds = %(interval_seconds)s,
               grace_seconds = %(grace_seconds)s, warn_seconds = %(warn_seconds)s, auto_generate = %(auto_generate)s,
               secret_policy_id = %(secret_policy_id)s, webhook_ids = %(webhook_ids)s, is_active = %(is_active)s,
               revision = %(revision)s, schedule_revision = %(schedule_revision)s, updated_at = %(updated_at)s,
               is_settled = is_settled AND schedule_revision = %(schedule_revision)s
         WHERE tenant_id = %(tenant_id)s AND id = %(id)s
        """,
        **_facts(tenant_id, policy),
    )


def change_removed(tx: Session, tenant_id: str, policy_id: str, now: datetime) -> None:
    """Deleted, for everybody; what is left of it goes with its last secret."""
    tx.run(
        """
        UPDATE rotation_policies
           SET removed_at = %(now)s, secret_policy_id = NULL
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        now=now,
    )


def change_settled(tx: Session, tenant_id: str, policy_id: str, schedule_revision: int) -> None:
    """All its secrets are scheduled by this revision, unless there has been another since."""
    tx.run(
        """
        UPDATE rotation_policies
           SET is_settled = true
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s AND schedule_revision = %(schedule_revision)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        schedule_revision=schedule_revision,
    )


def remove_policy(tx: Session, tenant_id: str, policy_id: str) -> None:
    """For good, if it is deleted and no secret is under it any more."""
    tx.run(
        """
        DELETE FROM rotation_policies
         WHERE tenant_id = %(tenant_id)s AND id = %(policy_id)s AND removed_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM secret_rotations AS under
                            WHERE under.tenant_id = rotation_policies.tenant_id
                              AND under.policy_id = rotation_policies.id)
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )


def list_unsettled(session: Session, limit: int) -> list[Unsettled]:
    """Policies of all tenants that the upkeep has work with, the longest waiting first."""
    return session.many(
        Unsettled,
        """
        SELECT tenant_id, id, removed_at IS NOT NULL AS is_removed
          FROM rotation_policies
         WHERE NOT is_settled OR removed_at IS NOT NULL
         ORDER BY updated_at
         LIMIT %(limit)s
        """,
        limit=limit,
    )


def has_secret_policy(tx: Session, tenant_id: str, secret_policy_id: str) -> bool:
    """Whether there is this secret policy, which then stays until the transaction ends."""
    row = tx.one(
        _Id,
        "SELECT id FROM secret_policies WHERE tenant_id = %(tenant_id)s AND id = %(secret_policy_id)s FOR KEY SHARE",
        tenant_id=tenant_id,
        secret_policy_id=secret_policy_id,
    )
    return row is not None


def hold_webhooks(tx: Session, tenant_id: str, webhook_ids: Sequence[str]) -> list[str]:
    """Which of these webhooks there are, without subscriptions'; they stay until the transaction ends."""
    rows = tx.many(
        _Id,
        """
        SELECT id
          FROM webhooks
         WHERE tenant_id = %(tenant_id)s AND id = ANY(%(webhook_ids)s) AND NOT is_of_subscription
         ORDER BY id
           FOR KEY SHARE
        """,
        tenant_id=tenant_id,
        webhook_ids=list(webhook_ids),
    )
    return [row.id for row in rows]


def change_unnamed(tx: Session, tenant_id: str, webhook_id: str, now: datetime) -> list[Policy]:
    """The policies that named this webhook, as they are without it; locked in the order of their ids."""
    rows = tx.many(
        PolicyRow,
        f"""
        UPDATE rotation_policies
           SET webhook_ids = array_remove(webhook_ids, %(webhook_id)s::text), revision = revision + 1,
               updated_at = %(now)s
         WHERE tenant_id = %(tenant_id)s
           AND id = ANY(ARRAY(SELECT id
                                FROM rotation_policies
                               WHERE tenant_id = %(tenant_id)s AND %(webhook_id)s::text = ANY(webhook_ids)
                                 AND removed_at IS NULL
                               ORDER BY id
                                 FOR UPDATE))
        RETURNING {COLUMNS}
        """,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        now=now,
    )
    return [row.policy() for row in rows]


def _facts(tenant_id: str, policy: Policy) -> dict[str, object]:
    terms = policy.terms
    return {
        "tenant_id": tenant_id,
        "id": policy.id,
        "name": policy.name,
        "description": policy.description,
        "interval_seconds": int(terms.interval.total_seconds()),
        "grace_seconds": int(terms.grace.total_seconds()),
        "warn_seconds": [int(each.total_seconds()) for each in terms.warn_before],
        "auto_generate": terms.auto_generate,
        "secret_policy_id": policy.secret_policy_id,
        "webhook_ids": list(policy.webhook_ids),
        "is_active": terms.is_active,
        "revision": policy.revision,
        "schedule_revision": policy.schedule_revision,
        "updated_at": policy.updated_at,
    }
