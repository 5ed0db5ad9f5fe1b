"""The end of a secret, and the way back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from scaivault.features.secrets import store
from scaivault.features.secrets.errors import SecretNotFound, VersionNotFound
from scaivault.features.secrets.model import RETENTION, Secret, Version, live
from scaivault.features.secrets.service import telling
from scaivault.kernel.caller import Caller, Permission
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Guard, Journal, Outbox
from scaivault.storage.database import Session


def claim(tx: Session, tenant_id: str, path: SecretPath, now: datetime) -> Secret | None:
    """The secret, locked. One whose retention is over is removed first: it is gone for everybody."""
    secret = store.claim_secret(tx, tenant_id, path)
    if secret is not None and secret.is_gone(now):
        store.remove_secret(tx, tenant_id, path)
        return None
    return secret


class TrashService:
    """Deleting, recovering and destroying."""

    def __init__(self, guard: Guard, journal: Journal[Session], outbox: Outbox[Session], clock: Clock) -> None:
        self._guard = guard
        self._journal = journal
        self._outbox = outbox
        self._clock = clock

    def delete(self, caller: Caller, path: SecretPath, expected_version: int | None = None) -> Secret:
        """Into the trash, from where it can be recovered for 30 days. VersionConflict."""
        self._guard.require(caller, Permission.DELETE, path)
        now = self._clock.now()
        with self._journal.operation(Action.DELETE, caller, path) as tx:
            secret = live(store.claim_secret(tx, caller.tenant_id, path))
            secret.check_version(expected_version)
            deleted = replace(secret, deleted_at=now, recoverable_until=now + RETENTION)
            store.change_deleted(tx, caller.tenant_id, path, deleted.deleted_at, deleted.recoverable_until)
            self._outbox.publish(tx, telling.deleted(caller, deleted))
            self._journal.record(tx, Entry.of(Action.DELETE, caller, path, permanent=False))
        return deleted

    def delete_permanently(self, caller: Caller, path: SecretPath, expected_version: int | None = None) -> None:
        """All versions and all traces but the trail, in the trash or not. VersionConflict."""
        self._guard.require(caller, Permission.DELETE, path)
        with self._journal.operation(Action.DELETE, caller, path) as tx:
            secret = claim(tx, caller.tenant_id, path, self._clock.now())
            if secret is None:
                raise SecretNotFound
            secret.check_version(expected_version)
            self._outbox.publish(tx, telling.deleted(caller, replace(secret, recoverable_until=None)))
            store.remove_secret(tx, caller.tenant_id, path)
            self._journal.record(tx, Entry.of(Action.DELETE, caller, path, permanent=True))

    def recover(self, caller: Caller, path: SecretPath) -> Secret:
        """Out of the trash. SecretNotFound if there is nothing to recover any more."""
        self._guard.require(caller, Permission.WRITE, path)
        with self._journal.operation(Action.WRITE, caller, path) as tx:
            secret = claim(tx, caller.tenant_id, path, self._clock.now())
            if secret is None or secret.deleted_at is None:
                raise SecretNotFound("There is no deleted secret at this path.")
            store.change_deleted(tx, caller.tenant_id, path, None, None)
            recovered = replace(secret, deleted_at=None, recoverable_until=None)
            self._outbox.publish(tx, telling.changed(caller, secret, recovered, changed="recovered"))
            self._journal.record(tx, Entry.of(Action.WRITE, caller, path, changed="recovered"))
        return recovered

    def destroy(self, caller: Caller, path: SecretPath, versions: Sequence[int]) -> tuple[Secret, list[Version]]:
        """Erase these versions' values and data keys for good: all of them, or VersionNotFound and none."""
        self._guard.require(caller, Permission.DELETE, path)
        with self._journal.operation(Action.DELETE, caller, path) as tx:
            secret = claim(tx, caller.tenant_id, path, self._clock.now())
            if secret is None:
                raise SecretNotFound
            done = store.change_versions_destroyed(tx, caller.tenant_id, path, versions, self._clock.now())
            if missing := sorted(set(versions) - set(done)):
                raise VersionNotFound("Not all of these versions can be destroyed.", versions=missing)
            self._outbox.publish(tx, telling.destroyed(caller, secret, done))
            self._journal.record(tx, Entry.of(Action.DELETE, caller, path, destroyed=sorted(done), permanent=True))
            left = store.list_versions(tx, caller.tenant_id, path)
            if secret.deleted_at is not None and all(version.destroyed_at is not None for version in left):
                # There is nothing to recover any more, and so nothing that the path is kept for.
                store.change_deleted(tx, caller.tenant_id, path, secret.deleted_at, self._clock.now())
            return secret, left
