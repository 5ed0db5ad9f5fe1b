"""The table `policy_bindings`, and the policies that somebody is bound to by it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.policies.model.evaluation import Bound
from scaivault.features.policies.model.policies import Binding, Subject
from scaivault.features.policies.store.policies import IN_ONE_SPELLING, PolicyRow
from scaivault.kernel.caller import IdentityType
from scaivault.storage.database import Session

SUBJECT_BOUND = "policy_bindings_identity_key"


@dataclass(frozen=True, slots=True)
class _BoundRow(PolicyRow):
    bound_until: datetime | None


@dataclass(frozen=True, slots=True)
class _BindingRow:
    id: str
    policy_id: str
    identity_type: str
    identity_id: str
    expires_at: datetime | None
    created_at: datetime

    def binding(self) -> Binding:
        return Binding(
            id=self.id,
            policy_id=self.policy_id,
            identity_type=IdentityType(self.identity_type),
            identity_id=self.identity_id,
            expires_at=self.expires_at,
            created_at=self.created_at,
        )


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


def list_bindings(session: Session, tenant_id: str, policy_id: str, *, after: str | None, limit: int) -> list[Binding]:
    """Bindings of a policy in the order of their making, from the first one beyond `after`."""
    rows = session.many(
        _BindingRow,
        f"""
        SELECT id, policy_id, identity_type, identity_id, expires_at, created_at
          FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s {IN_ONE_SPELLING}
           AND (%(after)s::text IS NULL OR id > %(after)s)
         ORDER BY id
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        after=after,
        limit=limit,
    )
    return [row.binding() for row in rows]


def find_binding(session: Session, tenant_id: str, policy_id: str, binding_id: str) -> Binding | None:
    row = session.one(
        _BindingRow,
        """
        SELECT id, policy_id, identity_type, identity_id, expires_at, created_at
          FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s
           AND id = %(binding_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        binding_id=binding_id,
    )
    return row.binding() if row else None


def count_bindings(session: Session, tenant_id: str, policy_id: str) -> int:
    row = session.one(
        _Count,
        f"""
        SELECT count(*) AS count
          FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s {IN_ONE_SPELLING}
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.count if row else 0


def add_binding(tx: Session, tenant_id: str, binding: Binding) -> None:
    tx.run(
        """
        INSERT INTO policy_bindings
               (tenant_id, id, policy_id, identity_type, identity_id, expires_at, created_at)
        VALUES (%(tenant_id)s, %(id)s, %(policy_id)s, %(identity_type)s, %(identity_id)s, %(expires_at)s,
                %(created_at)s)
        """,
        tenant_id=tenant_id,
        id=binding.id,
        policy_id=binding.policy_id,
        identity_type=binding.identity_type.value,
        identity_id=binding.identity_id,
        expires_at=binding.expires_at,
        created_at=binding.created_at,
    )


def remove_binding(tx: Session, tenant_id: str, policy_id: str, binding_id: str) -> int:
    return tx.run(
        """
        DELETE FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s
           AND id = %(binding_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        binding_id=binding_id,
    )


def remove_expired_binding(tx: Session, tenant_id: str, policy_id: str, subject: Subject, now: datetime) -> int:
    """Make room for a new binding where an old one has run out."""
    return tx.run(
        """
        DELETE FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s
           AND identity_type = %(identity_type)s
           AND identity_id = %(identity_id)s
           AND expires_at <= %(now)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
        identity_type=subject.identity_type.value,
        identity_id=subject.identity_id,
        now=now,
    )


def remove_bindings(tx: Session, tenant_id: str, policy_id: str) -> int:
    """Unbind everybody from a policy."""
    return tx.run(
        """
        DELETE FROM policy_bindings
         WHERE tenant_id = %(tenant_id)s
           AND policy_id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )


def list_bound(session: Session, tenant_id: str, subjects: Collection[Subject]) -> list[Bound]:
    """The policies that any of the subjects is bound to, by name, inactive ones and expired bindings included."""
    rows = session.many(
        _BoundRow,
        """
        SELECT policies.id, policies.name, policies.description, policies.rules, policies.is_active,
               policies.revision, policies.created_at, policies.updated_at,
               CASE WHEN bool_and(policy_bindings.expires_at IS NOT NULL)
                    THEN max(policy_bindings.expires_at) END AS bound_until
          FROM policy_bindings
          JOIN policies ON policies.tenant_id = policy_bindings.tenant_id AND policies.id = policy_bindings.policy_id
         WHERE policy_bindings.tenant_id = %(tenant_id)s
           AND (policy_bindings.identity_type, policy_bindings.identity_id)
               IN (SELECT wanted.kind, wanted.id
                     FROM unnest(%(types)s::text[], %(ids)s::text[]) AS wanted (kind, id))
         GROUP BY policies.tenant_id, policies.id
         ORDER BY policies.name
        """,
        tenant_id=tenant_id,
        types=[subject.identity_type.value for subject in subjects],
        ids=[subject.identity_id for subject in subjects],
    )
    return [Bound(row.policy(), row.bound_until) for row in rows]
