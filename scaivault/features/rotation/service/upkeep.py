"""What a change of a policy means for the secrets under it, a batch at a time; and forgetting old history."""

from typing import Final

from scaivault.features.rotation.model import KEPT
from scaivault.features.rotation.store import assignments, history, policies, revisions, schedules
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database

BATCH: Final = 500
# Of those that whoever changes a policy waits for: a second's work.
BATCHES_AT_ONCE: Final = 4
MOST_UNSETTLED: Final = 20
FORGOTTEN_AT_ONCE: Final = 500


class Upkeep:
    """A policy's row says that there is work left; each batch is one transaction, and none waits for another's lock."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def settle(self, tenant_id: str, policy_id: str) -> None:
        """Schedule the first of the policy's secrets anew, before anybody hears that it has changed."""
        for _ in range(BATCHES_AT_ONCE):
            if not self._settle(tenant_id, policy_id):
                return

    def try_again(self, tenant_id: str, secret_policy_id: str) -> None:
        """A secret policy has changed: what could not be renewed by it need not wait until its pause is over."""
        with self._database.session() as session:
            schedules.change_failing(session, tenant_id, secret_policy_id, self._clock.now())

    def detach(self, tenant_id: str, policy_id: str) -> None:
        """Take the first of its secrets from under a deleted policy."""
        for _ in range(BATCHES_AT_ONCE):
            if not self._detach(tenant_id, policy_id):
                return

    def run(self) -> int:
        """A batch for each policy that has work left; how many secrets were met. A worker's duty."""
        with self._database.session() as session:
            unsettled = policies.list_unsettled(session, MOST_UNSETTLED)
        return sum(
            self._detach(each.tenant_id, each.id) if each.is_removed else self._settle(each.tenant_id, each.id)
            for each in unsettled
        )

    def forget(self) -> int:
        """A bounded step; how much of the history was forgotten."""
        with self._database.session() as session:
            return history.remove_items_before(session, self._clock.now() - KEPT, FORGOTTEN_AT_ONCE)

    def _settle(self, tenant_id: str, policy_id: str) -> int:
        now = self._clock.now()
        with self._database.transaction() as tx:
            policy = policies.claim_terms(tx, tenant_id, policy_id)
            if policy is None:
                return 0
            revision = policy.schedule_revision
            stale = revisions.claim_stale(tx, tenant_id, policy_id, revision, BATCH)
            if stale:
                after = [each.schedule().under(policy.terms, now) for each in stale]
                schedules.change_schedules(tx, tenant_id, [each.path for each in stale], after, revision)
                history.remove_awaited(
                    tx, tenant_id, [each.path for each, then in zip(stale, after, strict=True) if then.is_ahead(now)]
                )
            is_done = not revisions.has_stale(tx, tenant_id, policy_id, revision)
        if is_done:
            with self._database.session() as session:
                policies.change_settled(session, tenant_id, policy_id, revision)
        return len(stale)

    def _detach(self, tenant_id: str, policy_id: str) -> int:
        with self._database.transaction() as tx:
            paths = assignments.claim_under(tx, tenant_id, policy_id, BATCH)
            if paths:
                gone = schedules.remove_schedules(tx, tenant_id, paths, policy_id)
                assignments.change_policy_of(tx, tenant_id, gone, None)
            policies.remove_policy(tx, tenant_id, policy_id)
        return len(paths)
