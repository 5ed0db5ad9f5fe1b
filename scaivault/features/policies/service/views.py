"""The policies that callers are bound to, kept per process: bounded, and void as soon as their tenant's epoch moves."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from scaivault.features.policies.errors import InvalidPolicy
from scaivault.features.policies.model.evaluation import Bound
from scaivault.features.policies.model.policies import Policy, subjects_of
from scaivault.features.policies.store import bindings
from scaivault.kernel.caller import IdentityType, Principal
from scaivault.kernel.errors import InvalidDuration, InvalidGlob, Unavailable
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs

View = tuple[Bound, ...]
_Key = tuple[str, IdentityType, str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Filed:
    epoch: int
    weight: int
    view: View


class Views:
    """At most `max_views` callers' policies with at most `max_weight` rules and IP ranges in all."""

    def __init__(
        self,
        database: Database,
        epochs: Epochs,
        max_views: int,
        max_weight: int,
        on_cache: Callable[[str], None],
    ) -> None:
        self._database = database
        self._epochs = epochs
        self._max_views = max_views
        self._max_weight = max_weight
        self._on_cache = on_cache
        self._lock = threading.Lock()
        self._filed: OrderedDict[_Key, _Filed] = OrderedDict()
        self._weight = 0
        # One copy of each policy in use, however many callers are bound to it.
        self._shared: WeakValueDictionary[tuple[str, str], Policy] = WeakValueDictionary()

    def of(self, principal: Principal) -> View:
        """Everything the principal is bound to, at most half a second old; Unavailable when it can not be known."""
        # The epoch comes before the rows: should they change in between, the view is newer than its label and is
        # loaded once too often. The other way round it would be older than its label, and stay in force.
        epoch = self._epochs.of(principal.tenant_id)
        key = (principal.tenant_id, principal.identity_type, principal.identity_id, principal.groups)
        view = self._recall(key, epoch)
        self._on_cache("miss" if view is None else "hit")
        if view is not None:
            return view
        view = self._load(principal)
        self._file(key, _Filed(epoch, _weigh(view), view))
        return view

    def _recall(self, key: _Key, epoch: int) -> View | None:
        with self._lock:
            filed = self._filed.get(key)
            if filed is None or filed.epoch != epoch:
                return None
            self._filed.move_to_end(key)
            return filed.view

    def _load(self, principal: Principal) -> View:
        try:
            with self._database.session() as session:
                found = bindings.list_bound(session, principal.tenant_id, subjects_of(principal))
        except (InvalidPolicy, InvalidGlob, InvalidDuration) as fault:
            # Another release wrote it, or this machine does not know its timezone. Nothing may pass without it: it
            # could be a deny.
            raise Unavailable("A stored policy can not be read by this release.") from fault
        return tuple(Bound(self._share(principal.tenant_id, bound.policy), bound.expires_at) for bound in found)

    def _share(self, tenant_id: str, policy: Policy) -> Policy:
        with self._lock:
            known = self._shared.get((tenant_id, policy.id))
            if known == policy:
                return known
            self._shared[tenant_id, policy.id] = policy
            return policy

    def _file(self, key: _Key, filed: _Filed) -> None:
        with self._lock:
            self._forget(key)
            if filed.weight > self._max_weight:
                return
            self._filed[key] = filed
            self._weight += filed.weight
            while len(self._filed) > self._max_views or self._weight > self._max_weight:
                self._forget(next(iter(self._filed)))

    def _forget(self, key: _Key) -> None:
        gone = self._filed.pop(key, None)
        if gone is not None:
            self._weight -= gone.weight


def _weigh(view: View) -> int:
    return sum(1 + len(rule.conditions.ip_ranges) for bound in view for rule in bound.policy.rules)
