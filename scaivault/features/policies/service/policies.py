"""Administering policies. A change, its audit row and the end of every cached decision are one transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from scaivault.features.policies.errors import (
    BindingExists,
    BindingNotFound,
    InvalidPolicy,
    PolicyExists,
    PolicyInUse,
    PolicyNotFound,
    RevisionConflict,
)
from scaivault.features.policies.model.conditions import Address, Context
from scaivault.features.policies.model.evaluation import Explanation, explain
from scaivault.features.policies.model.policies import (
    MAX_BINDINGS,
    MAX_POLICIES,
    Binding,
    Changes,
    Detail,
    Draft,
    Policy,
    PolicyScope,
    Portion,
    Subject,
    Summary,
    Wanted,
    check_binding_id,
    check_expiry,
    check_policy_id,
    portion,
    subjects,
)
from scaivault.features.policies.store import bindings, policies
from scaivault.kernel.caller import Caller, IdentityType, Permission, Scope
from scaivault.kernel.errors import VaultError
from scaivault.kernel.events import Event, EventType, Fact
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Guard, Journal, Outbox
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

_REFUSALS: dict[str, type[VaultError]] = {
    policies.NAME_TAKEN: PolicyExists,
    bindings.SUBJECT_BOUND: BindingExists,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A question for `test`. `groups` are looked up if None, `asked_at` is now if None."""

    subject: Subject
    groups: frozenset[str] | None
    permission: Permission
    path: SecretPath
    source_ip: Address | None = None
    is_mfa_verified: bool = False
    asked_at: datetime | None = None


class PolicyService:
    """Policies of the caller's tenant. `groups_of` tells the groups of an identity by tenant and id."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        outbox: Outbox[Session],
        guard: Guard,
        clock: Clock,
        groups_of: Callable[[str, str], frozenset[str]],
    ) -> None:
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._guard = guard
        self._clock = clock
        self._groups_of = groups_of

    def create(self, caller: Caller, draft: Draft) -> Detail:
        """A new policy, bound to nobody; PolicyExists if its name is taken."""
        self._require_administration(caller)
        now = self._clock.now()
        policy = Policy(
            new_id("pol"),
            draft.name,
            draft.description,
            draft.rules,
            draft.is_active,
            1,
            created_at=now,
            updated_at=now,
        )
        with self._changing(caller, Action.POLICY_CREATE) as tx:
            # Two at once may both pass here: the limit bounds what one tenant costs, to the row it need not be exact.
            if policies.count_policies(tx, caller.tenant_id) >= MAX_POLICIES:
                raise InvalidPolicy(f"A tenant has at most {MAX_POLICIES} policies.")
            policies.add_policy(tx, caller.tenant_id, policy)
            self._outbox.publish(tx, _event(EventType.POLICY_CREATED, caller, policy))
            self._journal.record(tx, _entry(Action.POLICY_CREATE, caller, policy))
        return Detail(policy, ())

    def read(self, caller: Caller, policy_id: str) -> Detail:
        """The policy and its bindings, or PolicyNotFound."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        with self._database.session() as session:
            policy = policies.find_policy(session, caller.tenant_id, check_policy_id(policy_id))
            if policy is None:
                raise PolicyNotFound
            return self._detail(session, caller, policy)

    def list(self, caller: Caller, wanted: Wanted, *, after: str | None, limit: int) -> Portion[Summary]:
        """Policies by name, from the first name beyond `after`."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        if wanted.scope is PolicyScope.PARTNER:
            return Portion((), has_more=False)  # there are none in this release
        with self._database.session() as session:
            found = policies.list_policies(
                session, caller.tenant_id, after=after, include_inactive=wanted.include_inactive, limit=limit + 1
            )
        return portion(found, limit)

    def replace(self, caller: Caller, policy_id: str, draft: Draft, *, expected: int | None) -> Detail:
        """Everything but the bindings anew; RevisionConflict unless the policy is at revision `expected`, if given."""
        changes = Changes(draft.name, draft.description, draft.rules, draft.is_active)
        return self.change(caller, policy_id, changes, expected=expected)

    def change(self, caller: Caller, policy_id: str, changes: Changes, *, expected: int | None) -> Detail:
        """Some fields anew; RevisionConflict unless the policy is at revision `expected`, if given."""
        self._require_administration(caller)
        with self._changing(caller, Action.POLICY_UPDATE) as tx:
            policy = _changed(self._claim(tx, caller, policy_id, expected), changes, self._clock.now())
            policies.change_policy(tx, caller.tenant_id, policy)
            self._outbox.publish(tx, _event(EventType.POLICY_UPDATED, caller, policy))
            self._journal.record(tx, _entry(Action.POLICY_UPDATE, caller, policy))
            return self._detail(tx, caller, policy)

    def delete(self, caller: Caller, policy_id: str, *, force: bool, expected: int | None) -> None:
        """Remove the policy; PolicyInUse if it has bindings, unless `force` removes them too."""
        self._require_administration(caller)
        with self._changing(caller, Action.POLICY_DELETE) as tx:
            policy = self._claim(tx, caller, policy_id, expected)
            detail = self._detail(tx, caller, policy)
            if detail.bindings and not force:
                raise PolicyInUse(binding_count=len(detail.bindings))
            bindings.remove_bindings(tx, caller.tenant_id, policy_id)
            policies.remove_policy(tx, caller.tenant_id, policy_id)
            for binding in detail.bindings:
                self._outbox.publish(tx, _binding_event(EventType.POLICY_BINDING_DELETED, caller, policy, binding))
            removed = len(detail.bindings)
            self._outbox.publish(tx, _event(EventType.POLICY_DELETED, caller, policy, bindings_removed=removed))
            entry = Entry.of(
                Action.POLICY_DELETE, caller, policy_id=policy_id, revision=policy.revision, bindings_removed=removed
            )
            self._journal.record(tx, entry)

    def bindings(self, caller: Caller, policy_id: str, *, after: str | None, limit: int) -> Portion[Binding]:
        """Bindings in the order of their making, from the first one beyond `after`; PolicyNotFound."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        check_policy_id(policy_id)
        with self._database.session() as session:
            found = bindings.list_bindings(session, caller.tenant_id, policy_id, after=after, limit=limit + 1)
            if not found and policies.find_policy(session, caller.tenant_id, policy_id) is None:
                raise PolicyNotFound
        return portion(found, limit)

    def bind(self, caller: Caller, policy_id: str, subject: Subject, expires_at: datetime | None) -> Binding:
        """Make the policy count for the subject, until `expires_at` if given; BindingExists if it does already."""
        self._require_administration(caller)
        now = self._clock.now()
        check_expiry(expires_at, now)
        binding = Binding(
            new_id("bnd"), policy_id, subject.identity_type, subject.identity_id, expires_at, created_at=now
        )
        with self._changing(caller, Action.POLICY_BIND) as tx:
            policy = self._claim(tx, caller, policy_id, None)
            bindings.remove_expired_binding(tx, caller.tenant_id, policy_id, subject, now)
            if bindings.count_bindings(tx, caller.tenant_id, policy_id) >= MAX_BINDINGS:
                raise InvalidPolicy(f"A policy has at most {MAX_BINDINGS} bindings; bind it to a group instead.")
            bindings.add_binding(tx, caller.tenant_id, binding)
            self._outbox.publish(tx, _binding_event(EventType.POLICY_BINDING_CREATED, caller, policy, binding))
            self._journal.record(tx, _binding_entry(Action.POLICY_BIND, caller, policy, binding))
        return binding

    def unbind(self, caller: Caller, policy_id: str, binding_id: str) -> None:
        """Undo `bind`; PolicyNotFound or BindingNotFound."""
        self._require_administration(caller)
        with self._changing(caller, Action.POLICY_UNBIND) as tx:
            policy = self._claim(tx, caller, policy_id, None)
            binding = bindings.find_binding(tx, caller.tenant_id, policy_id, check_binding_id(binding_id))
            if binding is None:
                raise BindingNotFound
            bindings.remove_binding(tx, caller.tenant_id, policy_id, binding_id)
            self._outbox.publish(tx, _binding_event(EventType.POLICY_BINDING_DELETED, caller, policy, binding))
            self._journal.record(tx, _binding_entry(Action.POLICY_UNBIND, caller, policy, binding))

    def test(self, caller: Caller, trial: Trial) -> Explanation:
        """What the subject's policies, as they are now, say of the trial. Asks no token's scopes, leaves no trace."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        subject, groups = trial.subject, trial.groups
        if groups is None and subject.identity_type is not IdentityType.GROUP:
            groups = self._groups_of(caller.tenant_id, subject.identity_id)
        whole = subjects(subject.identity_type, subject.identity_id, groups or frozenset())
        with self._database.session() as session:
            bound = bindings.list_bound(session, caller.tenant_id, whole)
        now = trial.asked_at or self._clock.now()
        context = Context(now, trial.source_ip, now if trial.is_mfa_verified else None)
        return explain(bound, trial.permission, trial.path, context)

    def _require_administration(self, caller: Caller) -> None:
        self._guard.require_scope(caller, Scope.POLICIES_WRITE)
        self._guard.require_tenant_admin(caller)

    @contextmanager
    def _changing(self, caller: Caller, action: Action) -> Iterator[Session]:
        """One transaction at whose commit every process forgets what it knew of this tenant's policies."""
        with self._journal.operation(action, caller, refusals=_REFUSALS) as tx:
            yield tx
            # Last, because all tenants' changes queue here until they are committed.
            epochs.move(tx, caller.tenant_id)

    def _claim(self, tx: Session, caller: Caller, policy_id: str, expected: int | None) -> Policy:
        policy = policies.claim_policy(tx, caller.tenant_id, check_policy_id(policy_id))
        if policy is None:
            raise PolicyNotFound
        if expected not in (None, policy.revision):
            raise RevisionConflict(current_revision=policy.revision)
        return policy

    def _detail(self, session: Session, caller: Caller, policy: Policy) -> Detail:
        bound = bindings.list_bindings(session, caller.tenant_id, policy.id, after=None, limit=MAX_BINDINGS)
        return Detail(policy, tuple(bound))


def _changed(policy: Policy, changes: Changes, now: datetime) -> Policy:
    return replace(
        policy,
        name=policy.name if changes.name is None else changes.name,
        description=policy.description if changes.description is None else changes.description,
        rules=policy.rules if changes.rules is None else changes.rules,
        is_active=policy.is_active if changes.is_active is None else changes.is_active,
        revision=policy.revision + 1,
        updated_at=now,
    )


def _entry(action: Action, caller: Caller, policy: Policy) -> Entry:
    return Entry.of(action, caller, policy_id=policy.id, revision=policy.revision, rule_count=len(policy.rules))


def _binding_entry(action: Action, caller: Caller, policy: Policy, binding: Binding) -> Entry:
    return Entry.of(
        action,
        caller,
        policy_id=policy.id,
        binding_id=binding.id,
        bound_identity_type=binding.identity_type.value,
        bound_identity_id=binding.identity_id,
    )


def _event(kind: EventType, caller: Caller, policy: Policy, **more: Fact) -> Event:
    facts: dict[str, Fact] = {
        "policy_id": policy.id,
        "name": policy.name,
        "revision": policy.revision,
        "rule_count": len(policy.rules),
        "is_active": policy.is_active,
    }
    return Event(kind, caller, None, facts | more, resource=f"policy:{policy.id}")


def _binding_event(kind: EventType, caller: Caller, policy: Policy, binding: Binding) -> Event:
    facts: dict[str, Fact] = {
        "policy_id": policy.id,
        "policy_name": policy.name,
        "binding_id": binding.id,
        "identity_type": binding.identity_type.value,
        "identity_id": binding.identity_id,
        "expires_at": binding.expires_at,
    }
    return Event(kind, caller, None, facts, resource=f"policy:{policy.id}")
