"""Telling of ends: at each threshold before a secret expires, and when it has, once each."""

import time
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from uuid import uuid4

from scaivault.features.secrets import store
from scaivault.features.secrets.model import Notice
from scaivault.features.secrets.service import telling
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.ids import new_id
from scaivault.kernel.ports import Clock, Outbox
from scaivault.storage.database import Database, Session

IDENTITY: Final = "system:expiry-watch"
BATCH = 200


class ExpiryWatch:
    """Works off what is due, and never looks at what is not.

    An event and the step to the next threshold are one commit: each is told once, whoever is killed meanwhile. Where
    nobody listens the step alone is taken.
    """

    def __init__(self, database: Database, outbox: Outbox[Session], clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def run(self) -> int:
        """A batch; how many secrets were told of."""
        now = self._clock.now()
        self._outbox.catch_up()
        with self._database.transaction() as tx:
            notices = store.claim_due_notices(tx, now, BATCH)
            for notice in notices:
                self._outbox.publish(tx, telling.ending(_caller(notice, now), notice, now))
            if notices:
                store.change_notices(
                    tx,
                    [notice.tenant_id for notice in notices],
                    [notice.path for notice in notices],
                    [notice.next_after(now) for notice in notices],
                )
        return len(notices)


def _caller(notice: Notice, now: datetime) -> Caller:
    principal = Principal.of_system(IDENTITY, "Expiry watch", notice.partner_id, notice.tenant_id, now)
    origin = Origin(ip_address("127.0.0.1"), "scaivault worker", new_id("req"), uuid4().hex, time.perf_counter())
    return Caller(principal, origin)
