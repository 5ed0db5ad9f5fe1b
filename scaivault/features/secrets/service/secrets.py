"""One secret: read, write, look at its history."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from scaivault.crypto.envelope import Envelope, Place, Sealed
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import TenantKeys
from scaivault.features.secrets import store
from scaivault.features.secrets.errors import SecretNotFound, SecretUnreadable, VersionNotFound
from scaivault.features.secrets.model import (
    Metadata,
    Options,
    SealedVersion,
    Secret,
    Version,
    Write,
    Written,
    live,
    merged,
    tags_of,
)
from scaivault.features.secrets.service import telling
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.trash import claim
from scaivault.kernel.caller import Caller, Permission
from scaivault.kernel.errors import NotFound
from scaivault.kernel.events import Fact
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal, Outbox, Rotations
from scaivault.kernel.renewal import Renewal, Trigger
from scaivault.storage.database import Database, Session
from scaivault.storage.errors import ConstraintViolated

T = TypeVar("T")
Wanted = Callable[[Session, Secret], bool]


def always(_tx: Session, _secret: Secret) -> bool:
    return True


class SecretService:
    """What a caller may do with the secret at one path."""

    def __init__(
        self,
        database: Database,
        envelope: Envelope,
        guard: Guard,
        journal: Journal[Session],
        outbox: Outbox[Session],
        clock: Clock,
        access: AccessNotes,
        on_read: Callable[[str, str], None],
        on_write: Callable[[str], None],
        rotations: Rotations[Session],
        on_rotation: Callable[[str], None],
    ) -> None:
        self._database = database
        self._envelope = envelope
        self._guard = guard
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._access = access
        self._on_read = on_read
        self._on_write = on_write
        self._rotations = rotations
        self._on_rotation = on_rotation

    def read(self, caller: Caller, path: SecretPath, version: int | None) -> tuple[SealedVersion, Plaintext]:
        """The current version's value, or an older one's. SecretNotFound, VersionNotFound.

        One round trip: the look-up and its audit row are one durable statement, and the value is opened after it.
        The tenant's keys come first, so that an absent KMS fails the read before the trail says that it succeeded.
        """
        self._guard.require(caller, Permission.READ, path)
        keys, now = self._keys(caller), self._clock.now()
        found = self._journal.find(
            SealedVersion,
            store.FIND_READABLE_VERSION,
            {"tenant_id": caller.tenant_id, "path": path, "version": version, "now": now},
            Entry.of(Action.READ, caller, path, version=version),
        )
        if found is None:
            raise self._absence(caller, path, version)
        try:
            plaintext = self._open(caller, keys, found)
        except UnknownKeyVersion:
            plaintext = self._open_at_last(caller, self._newest_keys(caller), found)
        self._tell_of_access(caller, found)
        self._access.note(caller.tenant_id, path, now, caller.identity_id)
        self._on_read(caller.tenant_id, found.secret_type)
        return found, plaintext

    def write(self, caller: Caller, path: SecretPath, write: Write) -> Written:
        """Store the next version. VersionConflict if `expected_version` is not the current one, SecretExists."""
        self._guard.require(caller, Permission.WRITE, path)
        written = self._with_keys(caller, lambda keys: self._write(caller, keys, path, write))
        self._count(caller, written)
        return written

    def renew(
        self, caller: Caller, values: Mapping[SecretPath, Plaintext], trigger: Trigger, is_wanted: Wanted = always
    ) -> list[Written]:
        """Store generated values as the next versions, of those that are still wanted: all in one transaction, or none.

        SecretNotFound, VersionConflict. Nobody's leave is asked: the caller's use case has done so. `is_wanted` is
        asked while the secret is locked.
        """
        done = self._with_keys(caller, lambda keys: self._renew_all(caller, keys, values, trigger, is_wanted))
        for written in done:
            self._count(caller, written)
        return done

    def roll_back(self, caller: Caller, path: SecretPath, version: int, expected_version: int | None = None) -> Written:
        """Write an old version again as the next one. VersionNotFound if it is not there any more, VersionConflict."""
        self._guard.require(caller, Permission.WRITE, path)
        written = self._with_keys(caller, lambda keys: self._roll_back(caller, keys, path, version, expected_version))
        self._count(caller, written)
        return written

    def read_metadata(self, caller: Caller, path: SecretPath) -> Secret:
        """All but the value."""
        self._guard.require(caller, Permission.LIST, path)
        with self._database.session() as session:
            secret = store.find_secret(session, caller.tenant_id, path)
        self._record_look(caller, path, "metadata", success=secret is not None and secret.deleted_at is None)
        return live(secret)

    def list_versions(self, caller: Caller, path: SecretPath) -> tuple[Secret, list[Version]]:
        """The secret's history, newest first."""
        self._guard.require(caller, Permission.LIST, path)
        with self._database.session() as session:
            secret = store.find_secret(session, caller.tenant_id, path)
            versions = store.list_versions(session, caller.tenant_id, path)
        self._record_look(caller, path, "versions", success=secret is not None and secret.deleted_at is None)
        return live(secret), versions

    def change_metadata(
        self, caller: Caller, path: SecretPath, change: Metadata, options: Options, expected_version: int | None
    ) -> Secret:
        """Lay `change` over the metadata and `options` over the options; no new version. VersionConflict."""
        self._guard.require(caller, Permission.WRITE, path)
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = live(store.claim_secret(tx, caller.tenant_id, path))
            secret.check_writable(expected_version)
            now = self._clock.now()
            kept = secret.with_options(options, now)
            self._check_secret_policy(tx, caller, secret, kept)
            changed = replace(kept, metadata=merged(secret.metadata, change), updated_at=now)
            self._change(tx, caller, secret, changed)
            self._assign(tx, caller, path, secret, changed)
            self._prune(tx, caller, changed)
            self._outbox.publish(tx, telling.changed(caller, secret, changed, changed="metadata"))
            self._journal.record(
                tx, Entry.of(Action.WRITE, caller, path, changed="metadata", fields=sorted({*change, *options.named()}))
            )
        return changed

    def put_under(self, caller: Caller, path: SecretPath, options: Options, action: Action) -> Secret:
        """Change options in the name of another use case, which has asked for leave. SecretNotFound."""
        with self._journal.operation(action, caller, path) as tx:
            secret = live(store.claim_secret(tx, caller.tenant_id, path))
            now = self._clock.now()
            changed = replace(secret.with_options(options, now), updated_at=now)
            self._change(tx, caller, secret, changed)
            self._assign(tx, caller, path, secret, changed)
            self._outbox.publish(tx, telling.changed(caller, secret, changed, changed="options"))
            policy_id = changed.rotation_policy_id or secret.rotation_policy_id
            self._journal.record(tx, Entry.of(action, caller, path, rotation_policy_id=policy_id))
        return changed

    def _write(self, caller: Caller, keys: TenantKeys, path: SecretPath, write: Write) -> Written:
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = claim(tx, caller.tenant_id, path, self._clock.now())
            written = self._add_version(tx, caller, keys, path, secret, write)
            entry = Entry.of(Action.WRITE, caller, path, version=written.version)
            if written.is_rotation:
                entry = replace(entry, extra={**entry.extra, "is_rotation": True})
            self._journal.record(tx, entry)
        return written

    def _renew_all(
        self,
        caller: Caller,
        keys: TenantKeys,
        values: Mapping[SecretPath, Plaintext],
        trigger: Trigger,
        is_wanted: Wanted,
    ) -> list[Written]:
        """In the order of their paths, in which nobody waits for a deadlock."""
        only = next(iter(values)) if len(values) == 1 else None
        with self._journal.operation(Action.ROTATE, caller, only) as tx:
            renewed = [
                self._renew(tx, caller, keys, path, Write(values[path], trigger=trigger), is_wanted)
                for path in sorted(values)
            ]
        return [written for written in renewed if written is not None]

    def _renew(
        self, tx: Session, caller: Caller, keys: TenantKeys, path: SecretPath, write: Write, is_wanted: Wanted
    ) -> Written | None:
        secret = live(claim(tx, caller.tenant_id, path, self._clock.now()))
        if not is_wanted(tx, secret):
            return None
        written = self._add_version(tx, caller, keys, path, secret, write)
        policy_id = secret.rotation_policy_id
        self._journal.record(
            tx, Entry.of(Action.ROTATE, caller, path, version=written.version, rotation_policy_id=policy_id)
        )
        return written

    def _roll_back(
        self, caller: Caller, keys: TenantKeys, path: SecretPath, version: int, expected_version: int | None
    ) -> Written:
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = live(claim(tx, caller.tenant_id, path, self._clock.now()))
            old = store.find_version(tx, caller.tenant_id, path, version, self._clock.now())
            if old is None:
                raise VersionNotFound
            # What comes back is old: no rotation, and the time of what it replaces runs on as it did.
            write = Write(self._open(caller, keys, old), expected_version=expected_version, trigger=None)
            written = self._add_version(tx, caller, keys, path, secret, write, rollback_to=version)
            self._journal.record(tx, Entry.of(Action.WRITE, caller, path, version=written.version, rollback_to=version))
        return written

    def _add_version(
        self,
        tx: Session,
        caller: Caller,
        keys: TenantKeys,
        path: SecretPath,
        secret: Secret | None,
        write: Write,
        **told: Fact,
    ) -> Written:
        now = self._clock.now()
        before = secret or Secret.unwritten(path, now)
        before.check_writable(write.expected_version)
        after = before.after(write, now)
        self._check_secret_policy(tx, caller, before, after)
        if secret is not None:
            self._change(tx, caller, before, after)
        elif store.add_secret(tx, caller.tenant_id, after):
            self._tag(tx, caller, after)
        else:
            # Another writer has created it meanwhile, and has committed: this write comes after that one.
            return self._add_version(tx, caller, keys, path, claim(tx, caller.tenant_id, path, now), write)
        place = Place(caller.principal.partner_id, caller.tenant_id, path, after.current_version)
        sealed = self._envelope.seal(keys, place, write.plaintext)
        version = Version(after.current_version, now, caller.identity_id, None)
        store.add_version(tx, caller.tenant_id, path, version, sealed.sealed, sealed.wrapped_key)
        self._prune(tx, caller, after)
        renewal = _renewal(path, before, after, write.trigger)
        self._outbox.publish(tx, telling.written(caller, before, after, is_rotation=renewal is not None, **told))
        if renewal is not None:
            self._rotations.renewed(tx, caller, renewal)
        self._assign(tx, caller, path, before, after)
        return Written(path, version.version, now, is_rotation=renewal is not None)

    def _check_secret_policy(self, tx: Session, caller: Caller, before: Secret, after: Secret) -> None:
        if after.secret_policy_id is not None and after.secret_policy_id != before.secret_policy_id:
            self._rotations.check_secret_policy(tx, caller, after.secret_policy_id)

    def _assign(self, tx: Session, caller: Caller, path: SecretPath, before: Secret, after: Secret) -> None:
        """Where the policy that renews it is another one now."""
        if after.rotation_policy_id != before.rotation_policy_id:
            self._rotations.assign(tx, caller, path, after.rotation_policy_id)

    def _count(self, caller: Caller, written: Written) -> None:
        self._on_write(caller.tenant_id)
        if written.is_rotation:
            self._on_rotation("success")

    def _change(self, tx: Session, caller: Caller, before: Secret, after: Secret) -> None:
        store.change_secret(tx, caller.tenant_id, after)
        if tags_of(before.metadata) != tags_of(after.metadata):
            store.remove_tags(tx, caller.tenant_id, after.path)
            self._tag(tx, caller, after)

    def _tag(self, tx: Session, caller: Caller, secret: Secret) -> None:
        if tags := tags_of(secret.metadata):
            store.add_tags(tx, caller.tenant_id, secret.path, sorted(tags))

    def _prune(self, tx: Session, caller: Caller, secret: Secret) -> None:
        if secret.oldest_kept > 1:
            store.remove_versions_before(tx, caller.tenant_id, secret.path, secret.oldest_kept)

    def _tell_of_access(self, caller: Caller, found: SealedVersion) -> None:
        """Where somebody listens for reads of this very secret: before the answer, which else would go untold."""
        event = telling.accessed(caller, found)
        if self._outbox.is_wanted(event):
            with self._database.transaction() as tx:
                self._outbox.publish(tx, event)

    def _keys(self, caller: Caller) -> TenantKeys:
        return self._envelope.keys_for(caller.principal.partner_id, caller.tenant_id)

    def _newest_keys(self, caller: Caller) -> TenantKeys:
        """The tenant's keys, read afresh: those at hand are older than the row they met, or than its key's removal."""
        self._envelope.forget(caller.tenant_id)
        return self._keys(caller)

    def _with_keys(self, caller: Caller, use: Callable[[TenantKeys], T]) -> T:
        """One transaction that seals; begun again, once, if a rotation has overtaken the keys it was given."""
        try:
            return use(self._keys(caller))
        except UnknownKeyVersion:
            pass
        except ConstraintViolated as violated:
            if violated.constraint != store.KEY_CONSTRAINT:
                raise
        try:
            return use(self._newest_keys(caller))
        except UnknownKeyVersion as unknown:
            raise SecretUnreadable from unknown

    def _open(self, caller: Caller, keys: TenantKeys, found: SealedVersion) -> Plaintext:
        """The value. UnknownKeyVersion if the keys are too old, SecretUnreadable if none would open it."""
        place = Place(caller.principal.partner_id, caller.tenant_id, found.path, found.version)
        try:
            return self._envelope.open(keys, place, Sealed(found.sealed, found.wrapped_key))
        except UnknownKeyVersion:
            raise
        except TamperedCiphertext as tampered:
            raise self._unreadable(caller, found) from tampered

    def _open_at_last(self, caller: Caller, keys: TenantKeys, found: SealedVersion) -> Plaintext:
        """The value, or SecretUnreadable: these are all the keys there are."""
        try:
            return self._open(caller, keys, found)
        except UnknownKeyVersion as unknown:
            raise self._unreadable(caller, found) from unknown

    def _unreadable(self, caller: Caller, found: SealedVersion) -> SecretUnreadable:
        """Journalled: the look-up's entry says that the row was found; this one, that nobody got to see it."""
        path = SecretPath(found.path)
        self._journal.record_alone(
            Entry.of(Action.READ, caller, path, success=False, version=found.version, reason="unreadable")
        )
        return SecretUnreadable()

    def _absence(self, caller: Caller, path: SecretPath, version: int | None) -> NotFound:
        """Why there is nothing to read. Already journalled, by the look-up that found nothing."""
        with self._database.session() as session:
            secret = live(store.find_secret(session, caller.tenant_id, path))
        if secret.expires_at is not None and secret.expires_at <= self._clock.now():
            return SecretNotFound("The secret at this path has expired.")
        return VersionNotFound(version=version or secret.current_version)

    def _record_look(self, caller: Caller, path: SecretPath, what: str, *, success: bool) -> None:
        self._journal.record_alone(Entry.of(Action.LIST, caller, path, success=success, view=what))


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
