"""Data keys under a new version of their tenant's key, whichever feature's rows they are of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from scaivault.crypto.envelope import Envelope, Place
from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keys import TenantKeys
from scaivault.crypto.rotation import Batch
from scaivault.storage.database import Database, Session

Position = tuple[str, int]


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key at rest, and whose it is: a version of a secret's, or of whatever else has versions."""

    owner: str
    version: int
    wrapped_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a feature keeps data keys: its statements, and how their owners are called.

    `count` and `claim` are of rows under older versions of the tenant's key than one. `claim` gives at most so many,
    beyond a position, in order and locked, without those that others hold.
    """

    count: Callable[[Session, str, int], int]
    claim: Callable[[Session, str, int, Position, int], Sequence[WrappedKey]]
    change: Callable[[Session, str, Sequence[WrappedKey]], None]
    place: Callable[[str], str]
    title: str
    batch: int


class StoredDataKeys:
    """crypto.rotation.DataKeys over a shelf. Values are neither read nor written."""

    def __init__(self, database: Database, shelf: Shelf) -> None:
        self._database = database
        self._shelf = shelf

    def count_before(self, tenant_id: str, version: int) -> int:
        """How many data keys are under older versions of the tenant's key than this."""
        with self._database.session() as session:
            return self._shelf.count(session, tenant_id, version)

    def rewrap(self, keys: TenantKeys) -> Iterator[Batch]:
        """Once through the tenant's rows under older versions, in order."""
        after = ("", 0)
        while claimed := self._rewrap_beyond(keys, after):
            batch, after = claimed
            yield batch

    def _rewrap_beyond(self, keys: TenantKeys, after: Position) -> tuple[Batch, Position] | None:
        """A batch, and where it ended; None if there was nothing left to claim.

        Rows are claimed and changed in one transaction, with nothing but local arithmetic in between: a crash undoes
        it, and what a live writer holds was not claimed.
        """
        shelf = self._shelf
        with self._database.transaction() as tx:
            claimed = shelf.claim(tx, keys.tenant_id, keys.active_version, after, shelf.batch)
            if not claimed:
                return None
            changed, unreadable = [], []
            for each in claimed:
                place = Place(keys.partner_id, keys.tenant_id, shelf.place(each.owner), each.version)
                try:
                    changed.append(replace(each, wrapped_key=Envelope.rewrap(keys, place, each.wrapped_key)))
                except TamperedCiphertext:
                    unreadable.append(shelf.title.format(each.owner, each.version))
            shelf.change(tx, keys.tenant_id, changed)
        return Batch(len(changed), unreadable), (claimed[-1].owner, claimed[-1].version)
