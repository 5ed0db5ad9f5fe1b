"""Secrets whose next values take long to make: they wait for a thread of their own, a few at a time."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from scaivault.features.rotation.model import LEASE, Scheduled

# What is known to take longer holds up whatever is due beside it: a batch of what takes less is made in about a second.
COSTLY: Final = timedelta(milliseconds=50)
# Of those under a lease that wait here: the last of them is begun well within it, at the most that a value may take.
PLACES: Final = 8
PLACES_OF_A_TENANT: Final = 4
SHORTEST_WAIT: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A secret that is due, and about what its next value takes to make."""

    secret: Scheduled
    cost: timedelta

    @property
    def is_costly(self) -> bool:
        return self.cost > COSTLY


@dataclass(frozen=True, slots=True)
class _Seated:
    weighed: Weighed
    until: datetime


class CostlyQueue:
    """First come, first served, and half of the places at most are one tenant's. Many may put in and take out."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._seated: deque[_Seated] = deque()

    def put(self, offered: Sequence[Weighed], now: datetime) -> list[tuple[str, timedelta]]:
        """Take in what there is a place for, under a lease from now on; of the others when each is to come again.

        That is in so long as those before it will take, so that they find a place one by one.
        """
        left_out: list[tuple[str, timedelta]] = []
        with self._turn:
            ahead = sum((each.weighed.cost for each in self._seated), timedelta())
            for weighed in offered:
                if self._has_place(weighed.secret.tenant_id):
                    self._seated.append(_Seated(weighed, now + LEASE))
                else:
                    left_out.append((weighed.secret.path, min(max(ahead, SHORTEST_WAIT), LEASE)))
                ahead += weighed.cost
        return left_out

    def take(self, now: datetime) -> Scheduled | None:
        """The one whose turn it is. What has waited for longer than its lease is due again, maybe elsewhere."""
        with self._turn:
            while self._seated:
                seated = self._seated.popleft()
                if now < seated.until:
                    return seated.weighed.secret
        return None

    def _has_place(self, tenant_id: str) -> bool:
        of_tenant = sum(each.weighed.secret.tenant_id == tenant_id for each in self._seated)
        return len(self._seated) < PLACES and of_tenant < PLACES_OF_A_TENANT
