"""For rotation: new values in the place of old ones, and who is to see to it."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

from scaivault.crypto.keys import TenantKeys
from scaivault.features.secrets import store
from scaivault.features.secrets.model import Options, Secret, Write, Written, live
from scaivault.features.secrets.service import telling
from scaivault.features.secrets.service.writing import Writing
from scaivault.kernel.caller import Caller
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Journal, Outbox
from scaivault.kernel.renewal import Trigger
from scaivault.storage.database import Session

Wanted = Callable[[Session, Sequence[Secret]], Container[str]]


class RenewalService:
    """Asks nobody's leave: the use case that it is part of has done so."""

    def __init__(self, journal: Journal[Session], outbox: Outbox[Session], clock: Clock, writing: Writing) -> None:
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._writing = writing

    def renew(
        self, caller: Caller, values: Mapping[SecretPath, Plaintext], trigger: Trigger, wanted: Wanted
    ) -> list[Written]:
        """Store generated values as the next versions, all in one transaction, or none.

        Of the secrets that there are `wanted` says which paths are to have theirs, while they are locked; what it
        raises ends the whole.
        """
        done = self._writing.with_keys(caller, lambda keys: self._renew_all(caller, keys, values, trigger, wanted))
        for written in done:
            self._writing.count(caller, written)
        return done

    def put_under(self, caller: Caller, path: SecretPath, options: Options, action: Action) -> Secret:
        """Have another policy renew it. SecretNotFound, and NotFound for a policy that is not there."""
        with self._journal.operation(action, caller, path) as tx:
            secret = live(store.claim_secret(tx, caller.tenant_id, path))
            now = self._clock.now()
            changed = replace(secret.with_options(options, now), updated_at=now)
            self._writing.change(tx, caller, path, secret, changed, may_reassign=True)
            self._outbox.publish(tx, telling.changed(caller, secret, changed, changed="options"))
            policy_id = changed.rotation_policy_id or secret.rotation_policy_id
            self._journal.record(tx, Entry.of(action, caller, path, rotation_policy_id=policy_id))
        return changed

    def _renew_all(
        self,
        caller: Caller,
        keys: TenantKeys,
        values: Mapping[SecretPath, Plaintext],
        trigger: Trigger,
        wanted: Wanted,
    ) -> list[Written]:
        """Locked together, in the order of their paths, in which nobody waits for a deadlock."""
        only = next(iter(values)) if len(values) == 1 else None
        with self._journal.operation(Action.ROTATE, caller, only) as tx:
            secrets = [
                secret
                for secret in store.claim_secrets(tx, caller.tenant_id, list(values))
                if secret.deleted_at is None
            ]
            paths = wanted(tx, secrets)
            return [
                self._renew(tx, caller, keys, secret, Write(values[SecretPath(secret.path)], trigger=trigger))
                for secret in secrets
                if secret.path in paths
            ]

    def _renew(self, tx: Session, caller: Caller, keys: TenantKeys, secret: Secret, write: Write) -> Written:
        path = SecretPath(secret.path)
        written = self._writing.add(tx, caller, keys, path, secret, write)
        policy_id = secret.rotation_policy_id
        self._journal.record(
            tx, Entry.of(Action.ROTATE, caller, path, version=written.version, rotation_policy_id=policy_id)
        )
        return written
