"""Administering secret policies, and trying them out. A change and its audit row are one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from threading import BoundedSemaphore

from scaivault.features.generators import store
from scaivault.features.generators.errors import (
    PreviewsAreBusy,
    RevisionConflict,
    SecretPolicyExists,
    SecretPolicyInUse,
    SecretPolicyNotFound,
    TooManySecretPolicies,
)
from scaivault.features.generators.model.fields import AnyField
from scaivault.features.generators.model.policies import (
    MAX_SECRET_POLICIES,
    Changes,
    Draft,
    Portion,
    SecretPolicy,
    check_id,
)
from scaivault.features.generators.service.generation import Generate, generated
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import Conflict
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.storage.database import Database, Session

# By the constraint that says so; those of what refers to a secret policy are of migration 0016.
_REFUSALS: Mapping[str, type[Conflict]] = {
    store.NAME_TAKEN: SecretPolicyExists,
    "rotation_policies_secret_policy_fkey": SecretPolicyInUse,
    "secrets_secret_policy_fkey": SecretPolicyInUse,
}


class SecretPolicyService:
    """Secret policies of the caller's tenant.

    Whoever writes one decides on the values of every secret that it is used for, a literal one among them; so changing
    them takes a tenant administrator, with the scope policies:write, as access policies do. `generate` is what previews
    are made by; `on_change` hears of each that has changed, by tenant and id, once it has.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        generate: Generate = generated,
        on_change: Callable[[str, str], None] = lambda _tenant_id, _policy_id: None,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._generate = generate
        self._on_change = on_change
        # Costly previews, one at a time in a process: however many are asked for, they take one thread and one
        # processor. Nobody waits for a turn, for those who wait would take the other threads.
        self._turn = BoundedSemaphore()

    def create(self, caller: Caller, draft: Draft) -> SecretPolicy:
        """A new secret policy; SecretPolicyExists if its name is taken, TooManySecretPolicies."""
        self._require_administration(caller)
        now = self._clock.now()
        policy = SecretPolicy(
            id=new_id("sp"),
            name=draft.name,
            description=draft.description,
            policy_type=draft.policy_type,
            fields=draft.fields,
            is_active=draft.is_active,
            revision=1,
            created_at=now,
            updated_at=now,
        )
        with self._journal.operation(Action.SECRET_POLICY_CREATE, caller, refusals=_REFUSALS) as tx:
            # Two at once may both pass here: the limit bounds what one tenant costs, to the row it need not be exact.
            if store.count_policies(tx, caller.tenant_id) >= MAX_SECRET_POLICIES:
                raise TooManySecretPolicies(limit=MAX_SECRET_POLICIES)
            store.add_policy(tx, caller.tenant_id, policy)
            self._journal.record(tx, _entry(Action.SECRET_POLICY_CREATE, caller, policy))
        return policy

    def read(self, caller: Caller, policy_id: str) -> SecretPolicy:
        """The secret policy, or SecretPolicyNotFound."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        with self._database.session() as session:
            return _there(store.find_policy(session, caller.tenant_id, check_id(policy_id)))

    def list(self, caller: Caller, *, include_inactive: bool, after: str | None, limit: int) -> Portion:
        """Secret policies by name, from the first name beyond `after`."""
        self._guard.require_scope(caller, Scope.POLICIES_READ)
        with self._database.session() as session:
            found = store.list_policies(
                session, caller.tenant_id, after=after, include_inactive=include_inactive, limit=limit + 1
            )
        return Portion(tuple(found[:limit]), len(found) > limit)

    def replace(self, caller: Caller, policy_id: str, draft: Draft, *, expected: int | None) -> SecretPolicy:
        """All of it anew; RevisionConflict unless the policy is at revision `expected`, if given."""
        changes = Changes(draft.name, draft.description, draft.policy_type, draft.fields, draft.is_active)
        return self.change(caller, policy_id, changes, expected=expected)

    def change(self, caller: Caller, policy_id: str, changes: Changes, *, expected: int | None) -> SecretPolicy:
        """Some of it anew; RevisionConflict unless the policy is at revision `expected`, if given."""
        self._require_administration(caller)
        with self._journal.operation(Action.SECRET_POLICY_UPDATE, caller, refusals=_REFUSALS) as tx:
            policy = _changed(self._claim(tx, caller, policy_id, expected), changes, self._clock.now())
            store.change_policy(tx, caller.tenant_id, policy)
            entry = _entry(Action.SECRET_POLICY_UPDATE, caller, policy, changes.named())
            self._journal.record(tx, entry)
        self._on_change(caller.tenant_id, policy_id)
        return policy

    def delete(self, caller: Caller, policy_id: str, *, expected: int | None) -> None:
        """Remove it. Values that it has made stay what they are. SecretPolicyInUse."""
        self._require_administration(caller)
        with self._journal.operation(Action.SECRET_POLICY_DELETE, caller, refusals=_REFUSALS) as tx:
            policy = self._claim(tx, caller, policy_id, expected)
            store.remove_policy(tx, caller.tenant_id, policy_id)
            self._journal.record(tx, _entry(Action.SECRET_POLICY_DELETE, caller, policy))

    def preview(self, caller: Caller, policy_id: str) -> Plaintext:
        """Values such as the policy would make, active or not, which nobody keeps. PreviewsAreBusy."""
        self._require_administration(caller)
        with self._journal.operation(Action.SECRET_POLICY_PREVIEW, caller) as tx:
            policy = _there(store.find_policy(tx, caller.tenant_id, check_id(policy_id)))
        return self._try_out(caller, policy.fields, _entry(Action.SECRET_POLICY_PREVIEW, caller, policy))

    def preview_of(self, caller: Caller, fields: Sequence[AnyField]) -> Plaintext:
        """Values for fields that belong to no policy yet. PreviewsAreBusy if another costly one is being made here."""
        self._require_administration(caller)
        return self._try_out(caller, fields, Entry.of(Action.SECRET_POLICY_PREVIEW, caller, field_count=len(fields)))

    def _try_out(self, caller: Caller, fields: Sequence[AnyField], entry: Entry) -> Plaintext:
        """The entry comes first: it tells that values were asked for, and they are shown only if it is there."""
        if not any(field.config.milliseconds for field in fields):
            self._journal.record_alone(entry)
            return self._generate(fields, self._clock.now())
        if not self._turn.acquire(blocking=False):
            self._journal.record_alone(Entry.of(entry.action, caller, success=False, reason=PreviewsAreBusy.code))
            raise PreviewsAreBusy
        try:
            self._journal.record_alone(entry)
            return self._generate(fields, self._clock.now())
        finally:
            self._turn.release()

    def _require_administration(self, caller: Caller) -> None:
        self._guard.require_scope(caller, Scope.POLICIES_WRITE)
        self._guard.require_tenant_admin(caller)

    def _claim(self, tx: Session, caller: Caller, policy_id: str, expected: int | None) -> SecretPolicy:
        policy = _there(store.claim_policy(tx, caller.tenant_id, check_id(policy_id)))
        if expected not in (None, policy.revision):
            raise RevisionConflict(current_revision=policy.revision)
        return policy


def _there(policy: SecretPolicy | None) -> SecretPolicy:
    if policy is None:
        raise SecretPolicyNotFound
    return policy


def _changed(policy: SecretPolicy, changes: Changes, now: datetime) -> SecretPolicy:
    return replace(
        policy,
        name=policy.name if changes.name is None else changes.name,
        description=policy.description if changes.description is None else changes.description,
        policy_type=policy.policy_type if changes.policy_type is None else changes.policy_type,
        fields=policy.fields if changes.fields is None else changes.fields,
        is_active=policy.is_active if changes.is_active is None else changes.is_active,
        revision=policy.revision + 1,
        updated_at=now,
    )


def _entry(action: Action, caller: Caller, policy: SecretPolicy, changed: Sequence[str] = ()) -> Entry:
    return Entry.of(
        action,
        caller,
        secret_policy_id=policy.id,
        name=policy.name,
        revision=policy.revision,
        field_count=len(policy.fields),
        changed=list(changed),
    )
