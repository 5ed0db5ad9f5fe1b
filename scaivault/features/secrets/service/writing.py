"""What writes to secrets have in common: the row, its versions, its tags, its schedule, and the word of it."""

from collections.abc import Callable
from typing import TypeVar

from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import TenantKeys
from scaivault.features.secrets import store
from scaivault.features.secrets.errors import ReassignmentForbidden, SecretUnreadable
from scaivault.features.secrets.model import Reassignment, Secret, Version, Write, Written, tags_of
from scaivault.features.secrets.service import telling
from scaivault.features.secrets.service.trash import claim
from scaivault.kernel.caller import Caller
from scaivault.kernel.events import Fact
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Outbox, Rotations
from scaivault.kernel.renewal import Renewal, Trigger
from scaivault.storage.database import Session

T = TypeVar("T")


class Writing:
    """In the transaction, and by the leave, of whoever uses it. `on_rotation` hears how a rotation ended."""

    def __init__(
        self,
        envelope: Envelope,
        outbox: Outbox[Session],
        clock: Clock,
        rotations: Rotations[Session],
        on_write: Callable[[str], None],
        on_rotation: Callable[[str], None],
    ) -> None:
        self._envelope = envelope
        self._outbox = outbox
        self._clock = clock
        self._rotations = rotations
        self._on_write = on_write
        self._on_rotation = on_rotation

    def add(
        self,
        tx: Session,
        caller: Caller,
        keys: TenantKeys,
        path: SecretPath,
        secret: Secret | None,
        write: Write,
        **told: Fact,
    ) -> Written:
        """The next version of a secret that is locked, or its first.

        VersionConflict, SecretExists, NotFound, ReassignmentForbidden.
        """
        now = self._clock.now()
        before = secret or Secret.unwritten(path, now)
        before.check_writable(write.expected_version)
        after = before.after(write, now)
        _check_reassignment(before, after, may_reassign=write.may_reassign)
        self._check_secret_policy(tx, caller, before, after)
        if secret is not None:
            self._change_row(tx, caller, before, after)
        elif store.add_secret(tx, caller.tenant_id, after):
            self._tag(tx, caller, after)
        else:
            # Another writer has created it meanwhile, and has committed: this write comes after that one.
            return self.add(tx, caller, keys, path, claim(tx, caller.tenant_id, path, now), write, **told)
        place = Place(caller.principal.partner_id, caller.tenant_id, path, after.current_version)
        sealed = self._envelope.seal(keys, place, write.plaintext)
        version = Version(after.current_version, now, caller.identity_id, None)
        store.add_version(tx, caller.tenant_id, path, version, sealed.sealed, sealed.wrapped_key)
        renewal = _renewal(path, before, after, write.trigger)
        self._outbox.publish(tx, telling.written(caller, before, after, is_rotation=renewal is not None, **told))
        if renewal is not None:
            self._rotations.renewed(tx, caller, renewal)
        self._assign(tx, caller, path, before, after)
        self._prune(tx, caller, after)  # now that what was replaced has its end
        return Written(
            path,
            version.version,
            now,
            is_rotation=renewal is not None,
            reassignment=Reassignment.between(before, after),
        )

    def change(
        self, tx: Session, caller: Caller, path: SecretPath, before: Secret, after: Secret, *, may_reassign: bool
    ) -> None:
        """Metadata and options, without a version. NotFound for a policy that is not there, ReassignmentForbidden."""
        _check_reassignment(before, after, may_reassign=may_reassign)
        self._check_secret_policy(tx, caller, before, after)
        self._change_row(tx, caller, before, after)
        self._assign(tx, caller, path, before, after)
        self._prune(tx, caller, after)

    def count(self, caller: Caller, written: Written) -> None:
        """A write that has been committed."""
        self._on_write(caller.tenant_id)
        if written.is_rotation:
            self._on_rotation("success")

    def keys(self, caller: Caller) -> TenantKeys:
        """The tenant's keys, as they are at hand."""
        return self._envelope.keys_for(caller.principal.partner_id, caller.tenant_id)

    def newest_keys(self, caller: Caller) -> TenantKeys:
        """The tenant's keys, read afresh: those at hand are older than the row they met, or than its key's removal."""
        self._envelope.forget(caller.tenant_id)
        return self.keys(caller)

    def with_keys(self, caller: Caller, use: Callable[[TenantKeys], T]) -> T:
        """Seal or open, in a transaction at most; done again, once, if a rotation has overtaken the keys given."""
        try:
            return self._envelope.with_keys(caller.principal.partner_id, caller.tenant_id, store.KEY_CONSTRAINT, use)
        except UnknownKeyVersion as unknown:
            raise SecretUnreadable from unknown

    def open(self, caller: Caller, keys: TenantKeys, path: str, version: int, sealed: Sealed) -> Plaintext:
        """The value of a version. UnknownKeyVersion if the keys are too old, SecretUnreadable if none would open it."""
        place = Place(caller.principal.partner_id, caller.tenant_id, path, version)
        try:
            return self._envelope.open(keys, place, sealed)
        except UnknownKeyVersion:
            raise
        except TamperedCiphertext as tampered:
            raise SecretUnreadable from tampered

    def _check_secret_policy(self, tx: Session, caller: Caller, before: Secret, after: Secret) -> None:
        if after.secret_policy_id is not None and after.secret_policy_id != before.secret_policy_id:
            self._rotations.check_secret_policy(tx, caller, after.secret_policy_id)

    def _assign(self, tx: Session, caller: Caller, path: SecretPath, before: Secret, after: Secret) -> None:
        """Where the policy that renews it is another one now."""
        if after.rotation_policy_id != before.rotation_policy_id:
            self._rotations.assign(tx, caller, path, after.rotation_policy_id)

    def _change_row(self, tx: Session, caller: Caller, before: Secret, after: Secret) -> None:
        store.change_secret(tx, caller.tenant_id, after)
        if tags_of(before.metadata) != tags_of(after.metadata):
            store.remove_tags(tx, caller.tenant_id, after.path)
            self._tag(tx, caller, after)

    def _tag(self, tx: Session, caller: Caller, secret: Secret) -> None:
        if tags := tags_of(secret.metadata):
            store.add_tags(tx, caller.tenant_id, secret.path, sorted(tags))

    def _prune(self, tx: Session, caller: Caller, secret: Secret) -> None:
        if secret.oldest_kept > 1:
            store.remove_versions_before(
                tx, caller.tenant_id, secret.path, secret.oldest_kept, secret.oldest_spared, self._clock.now()
            )


def _check_reassignment(before: Secret, after: Secret, *, may_reassign: bool) -> None:
    """Anybody who writes it may put his secret under a policy; from under one it takes more."""
    if before.rotation_policy_id not in {None, after.rotation_policy_id} and not may_reassign:
        raise ReassignmentForbidden


def _renewal(path: SecretPath, before: Secret, after: Secret, trigger: Trigger | None) -> Renewal | None:
    """Whether a write is a rotation: a generated value always is, one's own if a policy asks for it."""
    if trigger is None or (trigger is Trigger.WRITE and before.rotation_policy_id is None):
        return None
    return Renewal(
        path,
        after.secret_type,
        tags_of(after.metadata),
        before.current_version,
        after.current_version,
        before.rotation_policy_id,
        trigger,
    )
