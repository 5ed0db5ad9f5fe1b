"""Cache invalidation: every change of who may do what moves its tenant's epoch.

Caches of tokens and policies keep the epoch they were loaded under and are void under any other. A process asks for
moved epochs at most every half second and never answers from older knowledge, so a revocation or a policy change is
in force everywhere within a second. When the question can not be asked, Unavailable: authority fails closed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import Database, Session

FRESH_SECONDS = 0.5
_NO_CLOCK = "authority_clock is empty: run 'scaivault server migrate'"


@dataclass(frozen=True, slots=True)
class _Moved:
    tenant_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class _Tick:
    epoch: int


def await_heard() -> None:
    """Return when no process answers a request any more that knows less than what is committed now."""
    time.sleep(FRESH_SECONDS)


class Epochs:
    """Each tenant's epoch, at most half a second old."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._refreshing = threading.Lock()
        self._checked_at = float("-inf")
        self._failed_at = float("-inf")
        self._newest: int | None = None
        self._by_tenant: dict[str, int] = {}

    def of(self, tenant_id: str) -> int:
        """The epoch to file knowledge of this tenant under; take it before loading that knowledge."""
        wanted_at = self._monotonic()
        if wanted_at - self._checked_at > FRESH_SECONDS:
            self._refresh(wanted_at)
        return self._by_tenant.get(tenant_id, 0)

    def last_known(self, tenant_id: str) -> int:
        """The epoch as this process last heard it, without asking: for within a transaction, which holds a connection.

        A request has asked when it was authenticated, so what is filed under this is as fresh as its own authority.
        """
        return self._by_tenant.get(tenant_id, 0)

    def watch(self) -> None:
        """Miss no move from now on: to be called before loading knowledge that is filed under an epoch of its own."""
        if self._newest is None:
            self._refresh(self._monotonic())

    def _refresh(self, wanted_at: float) -> None:
        with self._refreshing:
            asked_at = self._monotonic()
            if asked_at - self._checked_at <= FRESH_SECONDS:
                return  # another thread asked while this one waited
            if self._failed_at > wanted_at:
                # It asked in vain. Were each to try in turn, the last of n threads would wait for n time-outs.
                raise Unavailable("The database does not answer; try again shortly.")
            try:
                moved = self._ask()
            except Unavailable:
                self._failed_at = self._monotonic()
                raise
            for tenant in moved:
                self._by_tenant[tenant.tenant_id] = tenant.epoch
                self._newest = max(self._newest or 0, tenant.epoch)
            self._checked_at = asked_at

    def _ask(self) -> list[_Moved]:
        with self._database.session() as session:
            if self._newest is None:
                # Nothing is cached yet, so moves before this one void nothing.
                self._newest = find_newest(session)
            return list_moved(session, self._newest)


def find_newest(session: Session) -> int:
    """The last epoch given out by a committed move."""
    tick = session.one(_Tick, "SELECT epoch FROM authority_clock")
    if tick is None:
        raise RuntimeError(_NO_CLOCK)
    return tick.epoch


def list_moved(session: Session, since: int) -> list[_Moved]:
    """Tenants whose epoch is beyond `since`.

    No gap is possible: `move` holds the clock's row lock until its commit, so epochs become visible in their order.
    """
    return session.many(
        _Moved,
        """
        SELECT id AS tenant_id, authority_epoch AS epoch
          FROM tenants
         WHERE authority_epoch > %(since)s
        """,
        since=since,
    )


def move(tx: Session, tenant_id: str) -> None:
    """Void what every process knows of this tenant's tokens and policies, as of this transaction's commit."""
    tick = tx.one(_Tick, "UPDATE authority_clock SET epoch = epoch + 1 RETURNING epoch")
    if tick is None:
        raise RuntimeError(_NO_CLOCK)
    tx.run(
        "UPDATE tenants SET authority_epoch = %(epoch)s WHERE id = %(tenant_id)s",
        epoch=tick.epoch,
        tenant_id=tenant_id,
    )
