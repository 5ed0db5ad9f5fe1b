"""The table `policies`."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.types.json import Jsonb

from scaivault.features.policies.model.policies import Policy, Summary
from scaivault.features.policies.model.rules import RuleJson, parse_rules
from scaivault.storage.database import Session

NAME_TAKEN = "policies_name_key"
# A user's address in capitals is the previous release's spelling (migration 0015): bound to and shown to nobody.
IN_ONE_SPELLING: LiteralString = """
           AND (identity_type <> 'user' OR strpos(identity_id, '@') = 0 OR identity_id = lower(identity_id))"""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    id: str
    name: str
    description: str
    rules: list[RuleJson]
    is_active: bool
    revision: int
    created_at: datetime
    updated_at: datetime

    def policy(self) -> Policy:
        return Policy(
            id=self.id,
            name=self.name,
            description=self.description,
            rules=parse_rules(self.rules),
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
) -> list[Summary]:
    """Policies by name, from the first name beyond `after`."""
    return session.many(
        Summary,
        f"""
        SELECT id, name, description, is_active, revision, created_at, updated_at,
               jsonb_array_length(rules) AS rule_count,
               (SELECT count(*)
                  FROM policy_bindings
                 WHERE policy_bindings.tenant_id = %(tenant_id)s
                   AND policy_bindings.policy_id = policies.id {IN_ONE_SPELLING}) AS binding_count
          FROM policies
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


def count_policies(session: Session, tenant_id: str) -> int:
    row = session.one(
        _Count,
        """
        SELECT count(*) AS count
          FROM policies
         WHERE tenant_id = %(tenant_id)s
        """,
        tenant_id=tenant_id,
    )
    return row.count if row else 0


def find_policy(session: Session, tenant_id: str, policy_id: str) -> Policy | None:
    row = session.one(
        PolicyRow,
        """
        SELECT id, name, description, rules, is_active, revision, created_at, updated_at
          FROM policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def claim_policy(tx: Session, tenant_id: str, policy_id: str) -> Policy | None:
    """The policy, locked until the transaction ends: nobody else changes, binds or removes it meanwhile."""
    row = tx.one(
        PolicyRow,
        """
        SELECT id, name, description, rules, is_active, revision, created_at, updated_at
          FROM policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
           FOR UPDATE
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
    return row.policy() if row else None


def add_policy(tx: Session, tenant_id: str, policy: Policy) -> None:
    tx.run(
        """
        INSERT INTO policies
               (tenant_id, id, name, description, rules, is_active, revision, created_at, updated_at)
        VALUES (%(tenant_id)s, %(id)s, %(name)s, %(description)s, %(rules)s, %(is_active)s, %(revision)s,
                %(created_at)s, %(updated_at)s)
        """,
        tenant_id=tenant_id,
        id=policy.id,
        name=policy.name,
        description=policy.description,
        rules=Jsonb([rule.as_json() for rule in policy.rules]),
        is_active=policy.is_active,
        revision=policy.revision,
        created_at=policy.created_at,
        updated_at=policy.updated_at,
    )


def change_policy(tx: Session, tenant_id: str, policy: Policy) -> int:
    """Give the row of this id the policy's content."""
    return tx.run(
        """
        UPDATE policies
           SET name = %(name)s, description = %(description)s, rules = %(rules)s, is_active = %(is_active)s,
               revision = %(revision)s, updated_at = %(updated_at)s
         WHERE tenant_id = %(tenant_id)s
           AND id = %(id)s
        """,
        tenant_id=tenant_id,
        id=policy.id,
        name=policy.name,
        description=policy.description,
        rules=Jsonb([rule.as_json() for rule in policy.rules]),
        is_active=policy.is_active,
        revision=policy.revision,
        updated_at=policy.updated_at,
    )


def remove_policy(tx: Session, tenant_id: str, policy_id: str) -> int:
    return tx.run(
        """
        DELETE FROM policies
         WHERE tenant_id = %(tenant_id)s
           AND id = %(policy_id)s
        """,
        tenant_id=tenant_id,
        policy_id=policy_id,
    )
