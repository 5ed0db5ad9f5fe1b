"""Secret policies in PostgreSQL. One statement a function; the tenant is in every predicate."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from scaivault.features.generators.model.fields import as_rows, parse_fields
from scaivault.features.generators.model.policies import PolicyType, SecretPolicy
from scaivault.storage.database import Session

NAME_TAKEN = "secret_policies_name_key"


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    name: str
    description: str
    policy_type: str
    fields: list[Any]
    is_active: bool
    revision: int
    created_at: datetime
    updated_at: datetime

    def policy(self) -> SecretPolicy:
        return SecretPolicy(
            id=self.id,
            name=self.name,
            description=self.description,
            policy_type=PolicyType(self.policy_type),
            fields=parse_fields(self.fields),
            is_active=self.is_active,
            revision=self.revision,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


def list_policies(
    session: Session, tenant_id: str, *, after: str | None, include_inactive: bool, limit: int
) -> list[SecretPolicy]:
    """Secret policies by name, from the first name beyond `after`."""
    rows = session.many(
        _Row,
        """
        SELECT id, name, description, policy_type, fields, is_active, revision, created_at, updated_at
          FROM secret_policies
         WHERE tenant_id = %(tenant_id)s
           AND (%(after)s::text IS NULL OR name > %(after)s)
           AND (is_active OR %(include_inactive)s)
         ORDER BY name
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        after=after,
        include_inactive=include_inactive,
        limit=limit,
    )
    return [row.policy() for row in rows]


def count_policies(session: Session, tenant_id: str) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM secret_policies
         WHERE tenant_id = %(tenant_id)s
        """,
        tenant_id=tenant_id,
    )
    return row.count if row else 0


def find_policy(session: Session, tenant_id: str, policy_id: str) -> SecretPolicy | None:
    row = session.one(
        _Row,
        """
        SELECT id, name, description, policy_type, fields, is_active, revision, created_at, updated_at
          FROM secret_policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def claim_policy(tx: Session, tenant_id: str, policy_id: str) -> SecretPolicy | None:
    """The secret policy, locked until the transaction ends: nobody else changes or removes it meanwhile."""
    row = tx.one(
        _Row,
        """
        SELECT id, name, description, policy_type, fields, is_active, revision, created_at, updated_at
          FROM secret_policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def add_policy(tx: Session, tenant_id: str, policy: SecretPolicy) -> None:
    tx.run(
        """
        INSERT INTO secret_policies
               (tenant_id, id, name, description, policy_type, fields, is_active, revision, created_at, updated_at)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(description)s, %(policy_type)s, %(fields)s, %(is_active)s,
                %(revision)s, %(created_at)s, %(updated_at)s)
        """,
        tenant_id=tenant_id,
        id=policy.id,
        name=policy.name,
        description=policy.description,
        policy_type=policy.policy_type.value,
        fields=Jsonb(as_rows(policy.fields)),
        is_active=policy.is_active,
        revision=policy.revision,
        created_at=policy.created_at,
        updated_at=policy.updated_at,
    )


def change_policy(tx: Session, tenant_id: str, policy: SecretPolicy) -> int:
    """Give the row of this id the policy's content."""
    return tx.run(
        """
        UPDATE secret_policies
           SET name = %(name)s, description = %(description)s, policy_type = %(policy_type)s, fields = %(fields)s,
               is_active = %(is_active)s, revision = %(revision)s, updated_at = %(updated_at)s
         WHERE tenant_id = %(tenant_id)s
           AND id = %(id)s
        """,
        tenant_id=tenant_id,
        id=policy.id,
        name=policy.name,
        description=policy.description,
        policy_type=policy.policy_type.value,
        fields=Jsonb(as_rows(policy.fields)),
        is_active=policy.is_active,
        revision=policy.revision,
        updated_at=policy.updated_at,
    )


def remove_policy(tx: Session, tenant_id: str, policy_id: str) -> int:
    return tx.run(
        """
        DELETE FROM secret_policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
