"""Renewing secrets because somebody asks for it, and what will be due."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scaivault.features.generators.service.generation import GenerationService
from scaivault.features.rotation.errors import (
    AssignmentNotFound,
    NoSecretPolicy,
    RotationPolicyNotFound,
    TooManySecrets,
    reason_of,
)
from scaivault.features.rotation.model import MOST_AT_ONCE, Assignment, Item, Status, Target
from scaivault.features.rotation.store import assignments, history, policies
from scaivault.features.secrets.errors import SecretNotFound, SecretUnreadable
from scaivault.features.secrets.model import Secret, Written
from scaivault.features.secrets.service.renewing import RenewalService
from scaivault.kernel.caller import Caller, Permission, Scope
from scaivault.kernel.errors import Conflict, NotFound, VaultError
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock, Guard, Journal
from scaivault.kernel.renewal import Trigger
from scaivault.storage.database import Database, Session

MOST_LOOKED_AT = 2_000


@dataclass(frozen=True, slots=True)
class DuePage:
    """Some of what is due, and from where to go on."""

    secrets: Sequence[Assignment]
    next_after: tuple[datetime, str] | None


class RotationService:
    """For callers: now instead of when it is due."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        clock: Clock,
        secrets: RenewalService,
        generation: GenerationService,
        on_rotation: Callable[[str], None],
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._secrets = secrets
        self._generation = generation
        self._on_rotation = on_rotation

    def rotate(self, caller: Caller, path: SecretPath, expected_version: int | None) -> Written:
        """Write generated fields over the present ones as the next version, whatever the schedule says.

        SecretNotFound, NoSecretPolicy, SecretPolicyInactive, VersionConflict, SecretUnreadable.
        """
        self._guard.require(caller, Permission.ROTATE, path)
        return self._rotate(caller, path, self._target(caller, path), expected_version)

    def rotate_all(self, caller: Caller, policy_id: str, paths: Sequence[SecretPath] | None) -> list[Item]:
        """Renew these secrets of a policy, or all of them that the caller may rotate: a line of history for each.

        One that can not be renewed is a line that says so, and no reason to stop. RotationPolicyNotFound,
        AssignmentNotFound, TooManySecrets.
        """
        chosen = self._chosen(caller, policy_id, paths)
        failed: dict[str, Item] = {}
        for path in chosen:
            try:
                self._rotate(caller, path, self._target(caller, path), None)
            except (Conflict, NotFound, SecretUnreadable) as refusal:
                failed[path] = self._note_failure(caller, policy_id, path, refusal)
        with self._database.session() as session:
            latest = {each.path: each for each in history.list_latest(session, caller.tenant_id, chosen)}
        return [failed.get(path) or latest[path] for path in chosen]

    def list_due(
        self,
        caller: Caller,
        within: timedelta,
        *,
        include_overdue: bool,
        policy_id: str | None,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> DuePage:
        """What is due within a time, what is due first coming first.

        All of it for an administrator with the scope admin, else what the caller may rotate.
        """
        covers = self._covers(caller)
        now = self._clock.now()
        found: list[Assignment] = []
        looked_at = 0
        while looked_at < MOST_LOOKED_AT:
            with self._database.session() as session:
                rows = assignments.list_due(
                    session,
                    caller.tenant_id,
                    since=None if include_overdue else now,
                    until=now + within,
                    policy_id=policy_id,
                    after=after,
                    limit=limit + 1,
                )
            for row in rows:
                if len(found) == limit:
                    return DuePage(found, after)
                if covers(row.path):
                    found.append(row)
                if row.due_at is not None:
                    after = (row.due_at, row.path)
            looked_at += len(rows)
            if len(rows) <= limit:
                return DuePage(found, None)
        return DuePage(found, after)

    def _covers(self, caller: Caller) -> Callable[[str], bool]:
        if Scope.ADMIN in caller.principal.scopes and caller.principal.is_tenant_admin:
            return lambda _path: True
        return self._guard.reach(caller, Permission.ROTATE).covers

    def _chosen(self, caller: Caller, policy_id: str, paths: Sequence[SecretPath] | None) -> list[SecretPath]:
        if paths is not None:
            chosen = list(dict.fromkeys(paths))
            for path in chosen:
                self._guard.require(caller, Permission.ROTATE, path)
            self._check_under(caller, policy_id, chosen)
            return chosen
        reach = self._guard.reach(caller, Permission.ROTATE)
        with self._database.session() as session:
            if policies.find_policy(session, caller.tenant_id, policy_id) is None:
                raise RotationPolicyNotFound
            under = assignments.list_under(session, caller.tenant_id, policy_id, MOST_AT_ONCE + 1)
        if len(under) > MOST_AT_ONCE:
            raise TooManySecrets(limit=MOST_AT_ONCE)
        return [SecretPath(path) for path in under if reach.covers(path)]

    def _check_under(self, caller: Caller, policy_id: str, paths: Sequence[SecretPath]) -> None:
        with self._database.session() as session:
            if policies.find_policy(session, caller.tenant_id, policy_id) is None:
                raise RotationPolicyNotFound
            for path in paths:
                assignment = assignments.find_assignment(session, caller.tenant_id, path)
                if assignment is None or assignment.policy_id != policy_id:
                    raise AssignmentNotFound

    def _target(self, caller: Caller, path: SecretPath) -> Target:
        with self._database.session() as session:
            target = assignments.find_target(session, caller.tenant_id, path)
        if target is None:
            self._journal.record_alone(Entry.of(Action.ROTATE, caller, path, success=False, reason=SecretNotFound.code))
            raise SecretNotFound
        return target

    def _rotate(self, caller: Caller, path: SecretPath, target: Target, expected_version: int | None) -> Written:
        plaintext = self._generated(caller, path, target)

        def expected(_tx: Session, secrets: Sequence[Secret]) -> Sequence[str]:
            if not secrets:
                raise SecretNotFound  # it was deleted meanwhile
            secrets[0].check_version(expected_version)
            return [path]

        try:
            [written] = self._secrets.renew(caller, {path: plaintext}, Trigger.REQUEST, expected)
        except SecretUnreadable as damaged:
            raise self._refused(caller, path, damaged) from damaged
        return written

    def _generated(self, caller: Caller, path: SecretPath, target: Target) -> Plaintext:
        """Before any transaction: keys of some kinds take seconds."""
        if target.secret_policy_id is None:
            raise self._refused(caller, path, NoSecretPolicy())
        try:
            return self._generation.generate(caller.tenant_id, target.secret_policy_id)
        except (NotFound, Conflict) as refusal:
            raise self._refused(caller, path, refusal) from refusal

    def _refused(self, caller: Caller, path: SecretPath, refusal: VaultError) -> VaultError:
        """The refusal, journalled and counted: there is a secret, and it could not be renewed."""
        self._journal.record_alone(Entry.of(Action.ROTATE, caller, path, success=False, reason=reason_of(refusal)))
        self._on_rotation("failed")
        return refusal

    def _note_failure(self, caller: Caller, policy_id: str, path: SecretPath, refusal: VaultError) -> Item:
        now = self._clock.now()
        item = Item(
            id=new_id("rth"),
            policy_id=policy_id,
            path=path,
            status=Status.FAILED,
            triggered_by=Trigger.REQUEST,
            identity_id=caller.identity_id,
            attempts=1,
            reason=reason_of(refusal),
            due_at=None,
            started_at=now,
            ended_at=now,
            old_version=None,
            new_version=None,
            grace_period_ends=None,
        )
        with self._database.session() as session:
            history.add_item(session, caller.tenant_id, item)
        return item
