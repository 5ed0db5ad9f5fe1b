"""The API's parts, and the order in which they begin and end."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaivault.crypto.rotation import KeyRotation
from scaivault.edge.context import UNMATCHED, Log
from scaivault.edge.dispatch import OnRefusal
from scaivault.edge.limits import Limits
from scaivault.edge.origin import Origins
from scaivault.edge.routes import Routes
from scaivault.edge.system import SystemPages
from scaivault.features.events.service.waiting import WaitingRoom
from scaivault.features.identity.service.authenticator import Authenticator
from scaivault.features.identity.service.installer import Installer
from scaivault.features.policies.service.policies import PolicyService
from scaivault.observability.catalogue.vocabulary import OTHER_METHOD
from scaivault.observability.instruments import Instruments
from scaivault.observability.listener import InternalListener
from scaivault.storage.database import Database
from scaivault.storage.redis import RedisCalls
from scaivault.workers.periodic import Periodic

if TYPE_CHECKING:
    from scaivault.observability.traces.tracing import Tracing


@dataclass(frozen=True)
class Services:
    """All that a door needs. Nothing is connected before `open`, so that nothing crosses a fork."""

    tables: Sequence[Routes]
    authenticator: Authenticator
    limits: Limits
    on_refusal: OnRefusal
    origins: Origins
    instruments: Instruments
    log: Log
    installer: Installer
    policies: PolicyService
    rotation: KeyRotation
    database: Database
    aside: Database
    system: SystemPages
    upkeep: Periodic
    watch: Periodic
    syncing: Periodic
    redis: RedisCalls
    room: WaitingRoom
    mending: Periodic
    internal: InternalListener
    on_state: Callable[[str], None]
    tracing: "Tracing | None"

    def open(self) -> None:
        """Connect: enough for a command that does one thing and ends."""
        self.database.open()
        self.aside.open()

    def close(self) -> None:
        self.system.close()
        self.aside.close()
        self.database.close()

    def start(self) -> None:
        """Connect, and begin what a serving process does beside requests."""
        self.on_state("starting")
        if self.tracing is not None:
            self.tracing.open()
        self.open()
        self.redis.open()
        self.mending.open()
        self.upkeep.open()
        self.system.look()  # before anybody can ask: one who has seen nothing must not answer beside those who have
        self.watch.open()
        self.syncing.open()
        self.internal.open()
        self.on_state("serving")

    def leave(self, is_replaced: bool) -> None:
        """Turn probes away: those of others who serve in our place must not meet us, all others are told."""
        self.on_state("draining")
        self.room.close()
        if is_replaced:
            self.internal.close()
        else:
            self.system.drain()

    def lend_by(self, lend: Callable[[], AbstractContextManager[None]]) -> None:
        """What the server offers to requests that wait: within it their thread counts for nothing."""
        self.room.lend = lend

    def refused(self, status: int, request_id: str) -> None:
        """Count and tell of what never became a request: it has been answered before anybody here saw it."""
        self.instruments.request_started(UNMATCHED)
        self.instruments.request_ended(OTHER_METHOD, UNMATCHED, status, 0.0)
        self.log("warn", "request_refused", request_id=request_id, path_category=UNMATCHED, status=status)

    def stop(self) -> None:
        """End; probes are answered to the last."""
        self.system.drain()
        self.room.close()
        self.syncing.close()
        self.watch.close()
        self.upkeep.close()
        self.mending.close()
        self.redis.close()
        self.close()
        self.internal.close()
        if self.tracing is not None:
            self.tracing.close()
