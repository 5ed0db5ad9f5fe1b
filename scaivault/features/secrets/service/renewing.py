"""For rotation: new values in the place of old ones, and who is to see to it."""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scaivault.crypto.envelope import Sealed
from scaivault.crypto.keys import TenantKeys
from scaivault.features.secrets import store
from scaivault.features.secrets.errors import SecretUnreadable, VersionConflict
from scaivault.features.secrets.model import Options, Secret, Write, Written, live
from scaivault.features.secrets.service import telling
from scaivault.features.secrets.service.writing import Writing
from scaivault.kernel.caller import Caller
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Journal, Outbox
from scaivault.kernel.renewal import Trigger
from scaivault.storage.database import Database, Session

Wanted = Callable[[Session, Sequence[Secret]], Container[str]]


@dataclass(frozen=True, slots=True)
class _Next:
    """What a secret is to hold next, and the version that this was made from: of which secret, it may be another's."""

    plaintext: Plaintext
    after_version: int = 0
    secret_created_at: datetime | None = None


class RenewalService:
    """Asks nobody's leave: the use case that it is part of has done so.

    What is generated takes the place of the fields of its names. The others stay, and for their sake the present
    version is opened: before the transaction, as keys may have to be fetched, and what it gives is written only while
    that version is the present one.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        outbox: Outbox[Session],
        clock: Clock,
        writing: Writing,
    ) -> None:
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._writing = writing

    def renew(
        self, caller: Caller, values: Mapping[SecretPath, Plaintext], trigger: Trigger, wanted: Wanted
    ) -> list[Written]:
        """Store generated fields as the next versions, all in one transaction, or none.

        Of the secrets that there are `wanted` says which paths are to have theirs, while they are locked; what it
        raises ends the whole. One that somebody has written meanwhile is left to its schedule; who asked for it hears
        VersionConflict. SecretUnreadable if one of them does not open: nothing of it would be left.
        """
        nexts = self._laid_over(caller, values)
        done = self._writing.with_keys(caller, lambda keys: self._renew_all(caller, keys, nexts, trigger, wanted))
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

    def _laid_over(self, caller: Caller, values: Mapping[SecretPath, Plaintext]) -> dict[SecretPath, _Next]:
        """The generated fields over those of the present versions. One that is not there has none to come."""
        with self._database.session() as session:
            present = store.list_present_versions(session, caller.tenant_id, list(values))
        return self._writing.with_keys(caller, lambda keys: self._laid_over_by(caller, keys, present, values))

    def _laid_over_by(
        self,
        caller: Caller,
        keys: TenantKeys,
        present: Sequence[store.PresentVersion],
        values: Mapping[SecretPath, Plaintext],
    ) -> dict[SecretPath, _Next]:
        nexts = {path: _Next(plaintext) for path, plaintext in values.items()}
        for each in present:
            path = SecretPath(each.path)
            plaintext = values[path]
            if each.sealed is not None and each.wrapped_key is not None:
                sealed = Sealed(each.sealed, each.wrapped_key)
                plaintext = laid_over(self._writing.open(caller, keys, path, each.version, sealed), plaintext)
            nexts[path] = _Next(plaintext, each.version, each.secret_created_at)
        return nexts

    def _renew_all(
        self,
        caller: Caller,
        keys: TenantKeys,
        nexts: Mapping[SecretPath, _Next],
        trigger: Trigger,
        wanted: Wanted,
    ) -> list[Written]:
        """Locked together, in the order of their paths, in which nobody waits for a deadlock."""
        only = next(iter(nexts)) if len(nexts) == 1 else None
        with self._journal.operation(Action.ROTATE, caller, only) as tx:
            secrets = [
                secret for secret in store.claim_secrets(tx, caller.tenant_id, list(nexts)) if secret.deleted_at is None
            ]
            paths = wanted(tx, secrets)
            return [
                self._renew(tx, caller, keys, secret, Write(nexts[SecretPath(secret.path)].plaintext, trigger=trigger))
                for secret in secrets
                if secret.path in paths and _is_as_opened(secret, nexts[SecretPath(secret.path)], trigger)
            ]

    def _renew(self, tx: Session, caller: Caller, keys: TenantKeys, secret: Secret, write: Write) -> Written:
        path = SecretPath(secret.path)
        written = self._writing.add(tx, caller, keys, path, secret, write)
        policy_id = secret.rotation_policy_id
        self._journal.record(
            tx, Entry.of(Action.ROTATE, caller, path, version=written.version, rotation_policy_id=policy_id)
        )
        return written


def _is_as_opened(secret: Secret, following: _Next, trigger: Trigger) -> bool:
    """Whether nobody has written it meanwhile. Who asked for it is told so: VersionConflict."""
    opened = (following.secret_created_at, following.after_version)
    is_as_opened = (secret.created_at, secret.current_version) == opened
    if trigger is Trigger.REQUEST and not is_as_opened:
        raise VersionConflict(current_version=secret.current_version)
    return is_as_opened


def laid_over(present: Plaintext, generated: Plaintext) -> Plaintext:
    """The generated fields in the place of those of their names; all others as they are. SecretUnreadable."""
    kept, made = _fields(present), _fields(generated)
    if kept is None or made is None:
        raise SecretUnreadable
    return Plaintext(json.dumps({**kept, **made}, ensure_ascii=False, separators=(",", ":")).encode())


def _fields(plaintext: Plaintext) -> dict[str, object] | None:
    """None if it is no JSON object. Nothing is raised: a parser's error quotes what it has read."""
    try:
        found = json.loads(plaintext.reveal())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
