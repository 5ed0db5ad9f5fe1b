"""What a write means for a secret's schedule, in the write's own transaction."""

from datetime import datetime

from scaivault.features.generators.errors import SecretPolicyNotFound
from scaivault.features.rotation.errors import RotationPolicyNotFound
from scaivault.features.rotation.model import DEFAULT_GRACE, Item, Policy, Schedule, Status
from scaivault.features.rotation.service import telling
from scaivault.features.rotation.store import history, policies, schedules
from scaivault.kernel.caller import Caller
from scaivault.kernel.ids import new_id
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Outbox
from scaivault.kernel.renewal import Renewal
from scaivault.storage.database import Session


class Schedules:
    """Implements kernel.ports.Rotations.

    Whoever gets here holds the secret's row. Its schedule's row comes next and its policy's last, which is only shared:
    in this order everywhere, so that nobody waits for a deadlock.
    """

    def __init__(self, outbox: Outbox[Session], clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    def check_secret_policy(self, tx: Session, caller: Caller, secret_policy_id: str) -> None:
        """SecretPolicyNotFound if the caller's tenant has no such secret policy."""
        if not policies.has_secret_policy(tx, caller.tenant_id, secret_policy_id):
            raise SecretPolicyNotFound

    def assign(self, tx: Session, caller: Caller, path: SecretPath, policy_id: str | None) -> None:
        """Renewed by this policy from now on, or by none. What it holds now has the whole interval before it."""
        schedules.remove_schedule(tx, caller.tenant_id, path)
        if policy_id is None:
            return
        policy = policies.claim_terms(tx, caller.tenant_id, policy_id)
        if policy is None:
            raise RotationPolicyNotFound
        now = self._clock.now()
        schedules.add_schedule(tx, caller.tenant_id, path, policy, Schedule.anew(policy.terms, now, now))

    def renewed(self, tx: Session, caller: Caller, renewal: Renewal) -> None:
        """Note it, begin the interval anew, end what was there, tell of it."""
        now, tenant_id, path = self._clock.now(), caller.tenant_id, renewal.path
        opened = None if renewal.policy_id is None else schedules.claim_open(tx, tenant_id, path)
        policy = None if opened is None else opened.policy
        until = now + (DEFAULT_GRACE if policy is None else policy.terms.grace)
        item = _item(caller, renewal, policy, opened, until, now)
        if (
            opened is None
            or opened.history_id is None
            or not history.change_done(tx, tenant_id, opened.history_id, item)
        ):
            history.add_item(tx, tenant_id, item)
        after = None
        if policy is not None:
            after = Schedule.anew(policy.terms, now, now)
            schedules.change_rotated(tx, tenant_id, renewal, policy, after, now, until)
        else:
            schedules.change_readable_until(tx, tenant_id, path, renewal.new_version, until)
        self._outbox.publish(tx, telling.rotated(caller, renewal, policy, until))
        next_at = None if after is None else after.due_at
        self._outbox.publish(tx, telling.completed(caller, renewal, policy, until, next_at))


def _item(
    caller: Caller,
    renewal: Renewal,
    policy: Policy | None,
    opened: schedules.Open | None,
    until: datetime,
    now: datetime,
) -> Item:
    return Item(
        id=new_id("rth"),
        policy_id=None if policy is None else policy.id,
        path=renewal.path,
        status=Status.SUCCESS,
        triggered_by=renewal.trigger,
        identity_id=caller.identity_id,
        attempts=1,
        reason=None,
        due_at=None if opened is None else opened.due_at,
        started_at=now,
        ended_at=now,
        old_version=renewal.old_version,
        new_version=renewal.new_version,
        grace_period_ends=until,
    )
