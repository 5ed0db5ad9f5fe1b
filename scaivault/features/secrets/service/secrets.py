"""One secret: read, write, look at its history."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from scaivault.crypto.envelope import Sealed
from scaivault.crypto.errors import UnknownKeyVersion
from scaivault.crypto.keys import TenantKeys
from scaivault.features.secrets import store
from scaivault.features.secrets.errors import ReassignmentForbidden, SecretNotFound, SecretUnreadable, VersionNotFound
from scaivault.features.secrets.model import (
    Metadata,
    Options,
    Reassignment,
    SealedVersion,
    Secret,
    Version,
    Write,
    Written,
    live,
    merged,
)
from scaivault.features.secrets.service import telling
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.trash import claim
from scaivault.features.secrets.service.writing import Writing
from scaivault.kernel.caller import Caller, Permission, Scope
from scaivault.kernel.errors import NotFound
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal, Outbox
from scaivault.storage.database import Database, Session

T = TypeVar("T")


class SecretService:
    """What a caller may do with the secret at one path."""

    def __init__(
        self,
        database: Database,
        guard: Guard,
        journal: Journal[Session],
        outbox: Outbox[Session],
        clock: Clock,
        access: AccessNotes,
        on_read: Callable[[str, str], None],
        writing: Writing,
    ) -> None:
        self._database = database
        self._guard = guard
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._access = access
        self._on_read = on_read
        self._writing = writing

    def read(self, caller: Caller, path: SecretPath, version: int | None) -> tuple[SealedVersion, Plaintext]:
        """The current version's value, or an older one's. SecretNotFound, VersionNotFound.

        One round trip: the look-up and its audit row are one durable statement, and the value is opened after it.
        The tenant's keys come first, so that an absent KMS fails the read before the trail says that it succeeded.
        """
        self._guard.require(caller, Permission.READ, path)
        keys, now = self._writing.keys(caller), self._clock.now()
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
            plaintext = self._open_at_last(caller, self._writing.newest_keys(caller), found)
        self._tell_of_access(caller, found)
        self._access.note(caller.tenant_id, path, now, caller.identity_id)
        self._on_read(caller.tenant_id, found.secret_type)
        return found, plaintext

    def write(self, caller: Caller, path: SecretPath, write: Write) -> Written:
        """Store the next version. VersionConflict if `expected_version` is not the current one, SecretExists.

        To take it from under the policy that renews it is not for everybody who writes it: AccessDenied.
        """
        self._guard.require(caller, Permission.WRITE, path)

        def once(may_reassign: bool) -> Written:
            allowed = replace(write, may_reassign=may_reassign)
            return self._writing.with_keys(caller, lambda keys: self._write(caller, keys, path, allowed))

        written = self._with_leave(caller, path, once)
        self._writing.count(caller, written)
        return written

    def roll_back(self, caller: Caller, path: SecretPath, version: int, expected_version: int | None = None) -> Written:
        """Write an old version again as the next one. VersionNotFound if it is not there any more, VersionConflict."""
        self._guard.require(caller, Permission.WRITE, path)
        written = self._writing.with_keys(
            caller, lambda keys: self._roll_back(caller, keys, path, version, expected_version)
        )
        self._writing.count(caller, written)
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
        """Lay `change` over the metadata and `options` over the options; no new version. Errors as for `write`."""
        self._guard.require(caller, Permission.WRITE, path)
        return self._with_leave(
            caller,
            path,
            lambda may_reassign: self._change_metadata(
                caller, path, change, options, expected_version, may_reassign=may_reassign
            ),
        )

    def _with_leave(self, caller: Caller, path: SecretPath, act: Callable[[bool], T]) -> T:
        """Do it; if it turns out to end or change who renews the secret, then by leave to rotate it, or to administer.

        What the secret is under is known when it is locked, and a refusal is journalled with nothing locked.
        """
        try:
            return act(False)
        except ReassignmentForbidden:
            if not (caller.principal.is_tenant_admin and Scope.ADMIN in caller.principal.scopes):
                self._guard.require(caller, Permission.ROTATE, path)
        return act(True)

    def _change_metadata(
        self,
        caller: Caller,
        path: SecretPath,
        change: Metadata,
        options: Options,
        expected_version: int | None,
        *,
        may_reassign: bool,
    ) -> Secret:
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = live(store.claim_secret(tx, caller.tenant_id, path))
            secret.check_writable(expected_version)
            now = self._clock.now()
            kept = secret.with_options(options, now)
            changed = replace(kept, metadata=merged(secret.metadata, change), updated_at=now)
            self._writing.change(tx, caller, path, secret, changed, may_reassign=may_reassign)
            self._outbox.publish(tx, telling.changed(caller, secret, changed, changed="metadata"))
            fields = sorted({*change, *options.named()})
            entry = Entry.of(Action.WRITE, caller, path, changed="metadata", fields=fields)
            self._journal.record(tx, _with_reassignment(entry, Reassignment.between(secret, changed)))
        return changed

    def _write(self, caller: Caller, keys: TenantKeys, path: SecretPath, write: Write) -> Written:
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = claim(tx, caller.tenant_id, path, self._clock.now())
            written = self._writing.add(tx, caller, keys, path, secret, write)
            entry = Entry.of(Action.WRITE, caller, path, version=written.version)
            if written.is_rotation:
                entry = replace(entry, extra={**entry.extra, "is_rotation": True})
            self._journal.record(tx, _with_reassignment(entry, written.reassignment))
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
            written = self._writing.add(tx, caller, keys, path, secret, write, rollback_to=version)
            self._journal.record(tx, Entry.of(Action.WRITE, caller, path, version=written.version, rollback_to=version))
        return written

    def _tell_of_access(self, caller: Caller, found: SealedVersion) -> None:
        """Where somebody listens for reads of this very secret: before the answer, which else would go untold."""
        event = telling.accessed(caller, found)
        if self._outbox.is_wanted(event):
            with self._database.transaction() as tx:
                self._outbox.publish(tx, event)

    def _open(self, caller: Caller, keys: TenantKeys, found: SealedVersion) -> Plaintext:
        """The value. UnknownKeyVersion if the keys are too old, SecretUnreadable if none would open it."""
        sealed = Sealed(found.sealed, found.wrapped_key)
        try:
            return self._writing.open(caller, keys, found.path, found.version, sealed)
        except SecretUnreadable as unreadable:
            raise self._unreadable(caller, found) from unreadable

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


def _with_reassignment(entry: Entry, reassignment: Reassignment | None) -> Entry:
    """The entry, saying so if another policy renews the secret now."""
    return entry if reassignment is None else replace(entry, extra={**entry.extra, **reassignment.facts()})
