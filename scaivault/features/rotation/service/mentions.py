"""Policies name webhooks: what the trail says of a policy, and what becomes of it when a webhook goes."""

from collections.abc import Sequence

from scaivault.features.rotation.model import Policy
from scaivault.features.rotation.store import policies
from scaivault.kernel.caller import Caller
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.storage.database import Session


class PolicyMentions:
    """Implements kernel.ports.Mentions: a policy that named the webhook is a revision on, with a row that says so."""

    def __init__(self, journal: Journal[Session], clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def drop_webhook(self, tx: Session, caller: Caller, webhook_id: str) -> Sequence[str]:
        """Have no policy name it any more; the ids of those that did."""
        changed = policies.change_unnamed(tx, caller.tenant_id, webhook_id, self._clock.now())
        for policy in changed:
            self._journal.record(tx, policy_entry(Action.ROTATION_POLICY_UPDATE, caller, policy, ["webhook_ids"]))
        return [policy.id for policy in changed]


def policy_entry(action: Action, caller: Caller, policy: Policy, changed: Sequence[str] = ()) -> Entry:
    return Entry.of(
        action,
        caller,
        rotation_policy_id=policy.id,
        name=policy.name,
        revision=policy.revision,
        webhook_ids=list(policy.webhook_ids),
        changed=list(changed),
    )
