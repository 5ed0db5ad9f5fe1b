"""Renewing secrets because somebody asks for it, and what will be due."""

import time
from collections import Counter
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
from scaivault.features.rotation.model import (
    LONGEST_AT_ONCE,
    MOST_AT_ONCE,
    OUT_OF_TIME,
    Assignment,
    Item,
    Status,
    Target,
)
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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._clock = clock
        self._secrets = secrets
        self._generation = generation
        self._on_rotation = on_rotation
        self._monotonic = monotonic

    def rotate(self, caller: Caller, path: SecretPath, expected_version: int | None) -> Written:
        """Write generated fields over the present ones as the next version, whatever the schedule says.

        SecretNotFound, NoSecretPolicy, SecretPolicyInactive, VersionConflict, SecretUnreadable.
        """
        self._guard.require(caller, Permission.ROTATE, path)
        return self._rotate(caller, path, self._target(caller, path), expected_version)

    def rotate_all(self, caller: Caller, policy_id: str, paths: Sequence[SecretPath] | None) -> list[Item]:
        """Renew these secrets of a policy, or all of them that the caller may rotate: a line of history for each.

        One that can not be renewed is a line that says so, and no reason to stop; so is one whose turn did not come in
        time. RotationPolicyNotFound, AssignmentNotFound; TooManySecrets, before any is renewed, also where making
        their values is known to take too long.
        """
        chosen = self._chosen(caller, policy_id, paths)
        self._check_cost(caller, chosen)
        until = self._monotonic() + LONGEST_AT_ONCE.total_seconds()
        failed: dict[str, Item] = {}
        for path in chosen:
            if self._monotonic() >= until:
                failed[path] = self._note_failure(caller, policy_id, path, OUT_OF_TIME, attempts=0)
                continue
            try:
                self._rotate(caller, path, self._target(caller, path), None)
            except (Conflict, NotFound, SecretUnreadable) as refusal:
                failed[path] = self._note_failure(caller, policy_id, path, reason_of(refusal), attempts=1)
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

        All of it for an administrator with the scope admin, else what the caller may rotate. RotationPolicyNotFound.
        """
        covers = self._covers(caller)
        if policy_id is not None:
            with self._database.session() as session:
                _require_policy(session, caller, policy_id)
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
            _require_policy(session, caller, policy_id)
            under = assignments.list_under(session, caller.tenant_id, policy_id, MOST_AT_ONCE + 1)
        if len(under) > MOST_AT_ONCE:
            raise TooManySecrets(limit=MOST_AT_ONCE)
        return [SecretPath(path) for path in under if reach.covers(path)]

    def _check_cost(self, caller: Caller, paths: Sequence[SecretPath]) -> None:
        """Whoever was cut off in the middle would ask for all of it again: better for fewer in the first place."""
        with self._database.session() as session:
            by_policy = Counter(assignments.list_secret_policies(session, caller.tenant_id, paths))
        costs = {each: self._generation.milliseconds(caller.tenant_id, each) for each in by_policy}
        if timedelta(milliseconds=sum(costs[each] * by_policy[each] for each in by_policy)) > LONGEST_AT_ONCE:
            # So many of the costliest fit.
            limit = max(1, int(LONGEST_AT_ONCE / timedelta(milliseconds=max(costs.values()))))
            raise TooManySecrets(
                "Values such as these take too long to make for so many secrets in one request.", limit=limit
            )

    def _check_under(self, caller: Caller, policy_id: str, paths: Sequence[SecretPath]) -> None:
        with self._database.session() as session:
            _require_policy(session, caller, policy_id)
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

    def _note_failure(self, caller: Caller, policy_id: str, path: SecretPath, reason: str, *, attempts: int) -> Item:
        now = self._clock.now()
        item = Item(
            id=new_id("rth"),
            policy_id=policy_id,
            path=path,
            status=Status.FAILED,
            triggered_by=Trigger.REQUEST,
            identity_id=caller.identity_id,
            attempts=attempts,
            reason=reason,
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


def _require_policy(session: Session, caller: Caller, policy_id: str) -> None:
    if policies.find_policy(session, caller.tenant_id, policy_id) is None:
        raise RotationPolicyNotFound
