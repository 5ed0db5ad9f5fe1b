"""Many secrets: what a caller may list of them, and nothing that tells of the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scaivault.features.secrets import store
from scaivault.features.secrets.model import Filters, Secret, ranges_within
from scaivault.kernel.caller import Caller, Permission
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Guard, Journal, Reach
from scaivault.storage.database import Database, Session

MOST_SCANNED = 5_000
MOST_RANGES = 200


@dataclass(frozen=True, slots=True)
class Listed:
    """A piece of a list. `next_after` is where the next piece begins; None at the end.

    A piece can be shorter than asked for when many secrets had to be looked at that the caller may not list.
    """

    secrets: Sequence[Secret]
    next_after: str | None


class ListService:
    """Secrets by path, seen through the caller's policies."""

    def __init__(self, database: Database, guard: Guard, journal: Journal[Session], clock: Clock) -> None:
        self._database = database
        self._guard = guard
        self._journal = journal
        self._clock = clock

    def list(self, caller: Caller, filters: Filters, after: str, limit: int) -> Listed:
        """Up to `limit` secrets beyond `after` that match and that the caller may list."""
        return self._list(caller, self._guard.reach(caller, Permission.LIST), filters, after, limit)

    def list_within(self, caller: Caller, reach: Reach, prefix: str, limit: int) -> Listed:
        """The first `limit` secrets under `prefix` that a narrower reach than the caller's whole one covers."""
        return self._list(caller, reach, Filters(prefix=prefix), "", limit)

    def _list(self, caller: Caller, reach: Reach, filters: Filters, after: str, limit: int) -> Listed:
        listed = self._find(caller, reach, filters, after, limit)
        entry = Entry.of(Action.LIST, caller, prefix=filters.prefix, count=len(listed.secrets))
        self._journal.record_alone(entry)
        return listed

    def _find(self, caller: Caller, reach: Reach, filters: Filters, after: str, limit: int) -> Listed:
        found: list[Secret] = []
        last = after
        for scanned, secret in enumerate(self._scan(caller, reach, filters, after, limit + 1)):
            if len(found) == limit or scanned == MOST_SCANNED:
                return Listed(found, last)
            last = secret.path
            if reach.covers(secret.path):
                found.append(secret)
        return Listed(found, None)

    def _scan(self, caller: Caller, reach: Reach, filters: Filters, after: str, batch: int) -> Iterator[Secret]:
        """All matching secrets of the caller's reach, batch by batch, each by the index on paths."""
        ranges = ranges_within(filters.prefix, reach.prefixes)
        now = self._clock.now()
        while ahead := [bounds for bounds in ranges if bounds.high > after][:MOST_RANGES]:
            with self._database.session() as session:
                secrets = store.list_secrets(session, caller.tenant_id, filters, ahead, after, now, batch)
            yield from secrets
            if len(secrets) == batch:
                after = secrets[-1].path
                batch = MOST_SCANNED // 10
            else:
                after = ahead[-1].high
