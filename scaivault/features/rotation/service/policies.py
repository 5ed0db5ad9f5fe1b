"""Administering rotation policies, and what is under them. A change and its audit row are one transaction."""

from collections.abc import Sequence
from datetime import datetime

from scaivault.features.events.errors import WebhookNotFound
from scaivault.features.generators.errors import SecretPolicyNotFound
from scaivault.features.rotation.errors import (
    AssignmentNotFound,
    RevisionConflict,
    RotationPolicyExists,
    RotationPolicyNotFound,
    TooManyRotationPolicies,
)
from scaivault.features.rotation.model import MOST_POLICIES, Assignment, Changes, Draft, Item, Policy, Status
from scaivault.features.rotation.service.mentions import policy_entry
from scaivault.features.rotation.service.upkeep import Upkeep
from scaivault.features.rotation.store import assignments, history
from scaivault.features.rotation.store import policies as store
from scaivault.features.secrets.model import Options
from scaivault.features.secrets.service.renewing import RenewalService
from scaivault.kernel.caller import Caller, Permission, Scope
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage.database import Database, Session

_REFUSALS = {store.NAME_TAKEN: RotationPolicyExists}


class RotationPolicyService:
    """Rotation policies of the caller's tenant, for its administrators with the scope admin.

    A change that moves due times is done when the policy's row is: of its secrets as many are scheduled anew before the
    answer as take no time to speak of, and the workers go on with the rest.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        secrets: RenewalService,
        upkeep: Upkeep,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._secrets = secrets
        self._upkeep = upkeep

    def create(self, caller: Caller, draft: Draft) -> Policy:
        """A new policy. RotationPolicyExists, SecretPolicyNotFound, WebhookNotFound, TooManyRotationPolicies."""
        self._require_administration(caller)
        policy = _drafted(draft, self._clock.now())
        with self._journal.operation(Action.ROTATION_POLICY_CREATE, caller, refusals=_REFUSALS) as tx:
            if store.count_policies(tx, caller.tenant_id) >= MOST_POLICIES:
                raise TooManyRotationPolicies(limit=MOST_POLICIES)
            _refuse_missing(self._missing_webhooks(tx, caller, policy.webhook_ids))
            self._check_secret_policy(tx, caller, policy.secret_policy_id)
            store.add_policy(tx, caller.tenant_id, policy)
            self._journal.record(tx, policy_entry(Action.ROTATION_POLICY_CREATE, caller, policy))
        return policy

    def read(self, caller: Caller, policy_id: str) -> Policy:
        """The policy, or RotationPolicyNotFound."""
        self._require_administration(caller)
        with self._database.session() as session:
            return _there(store.find_policy(session, caller.tenant_id, policy_id))

    def change(self, caller: Caller, policy_id: str, changes: Changes, *, expected: int | None = None) -> Policy:
        """Some of it anew; RevisionConflict unless it is at revision `expected`, if given.

        What is there already is no change, and leaves neither a revision nor a row.
        """
        self._require_administration(caller)
        with self._journal.operation(Action.ROTATION_POLICY_UPDATE, caller, refusals=_REFUSALS) as tx:
            # Webhooks before the policy, as who deletes one of them: else the two could wait for each other.
            missing = self._missing_webhooks(tx, caller, changes.webhook_ids or ())
            before = self._claim(tx, caller, policy_id, expected)
            policy = changes.of(before, self._clock.now())
            _refuse_missing(missing)
            self._check_secret_policy(tx, caller, changes.secret_policy_id)
            if policy.revision != before.revision:
                store.change_policy(tx, caller.tenant_id, policy)
                self._journal.record(tx, policy_entry(Action.ROTATION_POLICY_UPDATE, caller, policy, changes.named()))
        if policy.schedule_revision != before.schedule_revision:
            self._upkeep.settle(caller.tenant_id, policy_id)
        return self.read(caller, policy_id)

    def delete(self, caller: Caller, policy_id: str, *, expected: int | None) -> None:
        """Remove it. Its secrets stay what they are, and nothing renews them any more."""
        self._require_administration(caller)
        with self._journal.operation(Action.ROTATION_POLICY_DELETE, caller) as tx:
            policy = self._claim(tx, caller, policy_id, expected)
            store.change_removed(tx, caller.tenant_id, policy_id, self._clock.now())
            self._journal.record(tx, policy_entry(Action.ROTATION_POLICY_DELETE, caller, policy))
        self._upkeep.detach(caller.tenant_id, policy_id)

    def assign(self, caller: Caller, policy_id: str, path: SecretPath) -> Assignment:
        """Have the policy renew this secret. It takes the permission to rotate it, too. SecretNotFound."""
        self._require_administration(caller)
        self._guard.require(caller, Permission.ROTATE, path)
        with self._database.session() as session:
            _there(store.find_policy(session, caller.tenant_id, policy_id))
        self._secrets.put_under(caller, path, Options(rotation_policy_id=policy_id), Action.ROTATION_ASSIGN)
        with self._database.session() as session:
            assignment = assignments.find_assignment(session, caller.tenant_id, path)
        if assignment is None or assignment.policy_id != policy_id:
            raise RotationPolicyNotFound  # deleted meanwhile, or the secret put under another
        return assignment

    def unassign(self, caller: Caller, policy_id: str, path: SecretPath) -> None:
        """Have nothing renew this secret any more. AssignmentNotFound if this policy does not."""
        self._require_administration(caller)
        self._guard.require(caller, Permission.ROTATE, path)
        with self._database.session() as session:
            _there(store.find_policy(session, caller.tenant_id, policy_id))
            assignment = assignments.find_assignment(session, caller.tenant_id, path)
        if assignment is None or assignment.policy_id != policy_id:
            self._journal.record_alone(
                Entry.of(Action.ROTATION_UNASSIGN, caller, path, success=False, reason=AssignmentNotFound.code)
            )
            raise AssignmentNotFound
        self._secrets.put_under(caller, path, Options(rotation_policy_id=None), Action.ROTATION_UNASSIGN)

    def list_secrets(self, caller: Caller, policy_id: str, after: str | None, limit: int) -> Sequence[Assignment]:
        """What is under the policy and not in the trash, by path: all of it, as administrators see what is due."""
        self._require_administration(caller)
        with self._database.session() as session:
            _there(store.find_policy(session, caller.tenant_id, policy_id))
            return assignments.list_assignments(session, caller.tenant_id, policy_id, after, limit)

    def history(
        self, caller: Caller, policy_id: str, status: Status | None, before: str | None, limit: int
    ) -> list[Item]:
        """What became of rotations under this policy, newest first."""
        self._guard.require_scope(caller, Scope.AUDIT_READ)
        with self._database.session() as session:
            _there(store.find_policy(session, caller.tenant_id, policy_id))
            return history.list_items(
                session, caller.tenant_id, policy_id, None if status is None else status.value, before, limit
            )

    def list(self, caller: Caller, after: str | None, limit: int, *, active_only: bool) -> list[Policy]:
        """Policies by name."""
        self._require_administration(caller)
        with self._database.session() as session:
            return store.list_policies(session, caller.tenant_id, after=after, active_only=active_only, limit=limit)

    def _require_administration(self, caller: Caller) -> None:
        self._guard.require_scope(caller, Scope.ADMIN)
        self._guard.require_tenant_admin(caller)

    def _check_secret_policy(self, tx: Session, caller: Caller, secret_policy_id: str | None) -> None:
        if secret_policy_id is not None and not store.has_secret_policy(tx, caller.tenant_id, secret_policy_id):
            raise SecretPolicyNotFound(secret_policy_id=secret_policy_id)

    def _missing_webhooks(self, tx: Session, caller: Caller, webhook_ids: Sequence[str]) -> Sequence[str]:
        """Which of them are not there; the others stay until the transaction ends."""
        there = set(store.hold_webhooks(tx, caller.tenant_id, webhook_ids)) if webhook_ids else set()
        return [each for each in webhook_ids if each not in there]

    def _claim(self, tx: Session, caller: Caller, policy_id: str, expected: int | None) -> Policy:
        policy = _there(store.claim_policy(tx, caller.tenant_id, policy_id))
        if expected not in {None, policy.revision}:
            raise RevisionConflict(current_revision=policy.revision)
        return policy


def _there(policy: Policy | None) -> Policy:
    if policy is None:
        raise RotationPolicyNotFound
    return policy


def _refuse_missing(webhook_ids: Sequence[str]) -> None:
    if webhook_ids:
        raise WebhookNotFound(webhook_ids=list(webhook_ids))


def _drafted(draft: Draft, now: datetime) -> Policy:
    return Policy(
        id=new_id("rot"),
        name=draft.name,
        description=draft.description,
        terms=draft.terms(),
        secret_policy_id=draft.secret_policy_id,
        webhook_ids=_without_repeats(draft.webhook_ids),
        revision=1,
        schedule_revision=1,
        created_at=now,
        updated_at=now,
    )


def _without_repeats(webhook_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(webhook_ids))
