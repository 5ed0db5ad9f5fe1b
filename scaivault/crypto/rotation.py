"""Renewing the keys of the chain while everything goes on; no payload is touched.

Each rotation has the same three steps, and each step may be the last one before a crash:

1. The next version is added. From then on it seals; the older ones still open.
2. Whatever an older version wraps is wrapped anew, in batches, until nothing is left.
3. The older versions are removed, which the database refuses while a single row is under them.

Between the steps every key that wraps something is there, so nothing is ever unreadable. Running it again continues:
with more than one version there, the first step has been done. Two at once share the work: additions and changes are
compare-and-set, and a removal that was done already removes nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import Final, Protocol
from uuid import uuid4

from scaivault.crypto import chain
from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.errors import RetiredKeyVersion, TamperedCiphertext
from scaivault.crypto.keyring import KeyRing, KeyStore
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.crypto.kms.succession import Succession
from scaivault.kernel.caller import Caller, Origin, Principal
from scaivault.kernel.errors import NotFound, Unavailable
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry, Extra
from scaivault.kernel.ports import Clock

IDENTITY: Final = "system:key-rotation"
BATCH = 500
PAUSE_SECONDS = 0.25
# Longer than any transaction of the vault lives (storage.database): what is held so long, somebody else holds.
MOST_PAUSES = 120


class Level(StrEnum):
    """Which arrow of the chain."""

    ROOT = "root"
    PARTNER = "partner"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class PartnerKey:
    """A version of a partner's key, where it rests."""

    partner_id: str
    version: int
    wrapped: bytes = field(repr=False)
    kms_key_id: str


@dataclass(frozen=True, slots=True)
class SystemKey:
    """The installation's key for a purpose, where it rests."""

    purpose: str
    version: int
    wrapped: bytes = field(repr=False)
    kms_key_id: str


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A version of a tenant's key, where it rests."""

    tenant_id: str
    version: int
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some rows: how many were wrapped anew, and the names of those that do not open."""

    rewrapped: int
    unreadable: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What a rotation ends with. `left` was counted at the end: rows still under what was to be replaced."""

    rewrapped: int
    left: int
    unreadable: Sequence[str]
    version: int | None = None
    """The version in force; None where there is nothing to rotate, and for the root, which has an id instead."""

    @property
    def is_complete(self) -> bool:
        return self.left == 0


class DataKeys(Protocol):
    """Rows of one feature whose data keys the tenants' keys wrap, with a foreign key that says so."""

    def count_before(self, tenant_id: str, version: int) -> int:
        """How many of the tenant's rows are under an older version than this."""

    def rewrap(self, keys: TenantKeys) -> Iterator[Batch]:
        """Once through the tenant's rows under older versions, in batches that commit one by one.

        Rows that another transaction holds are left out: it may be changing them, and nobody has to wait for us.
        """


class RotationStore(KeyStore, Protocol):
    """Where wrapped keys rest, and how they change. Every call is a transaction of its own, with its audit entries."""

    def find_partner(self, tenant_id: str) -> str | None:
        """Whose the tenant is, if it is there."""

    def list_tenants(self, before: datetime, after: str, limit: int) -> Sequence[str]:
        """Tenants beyond `after`, in order, whose oldest key was made before an instant."""

    def add_next_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        """False if that version is there already, which then stays as it is."""

    def add_next_tenant_key(self, tenant_id: str, key: WrappedKey, entry: Entry) -> bool:
        """The same for a tenant, and every process learns of it within a second. RetiredKeyVersion."""

    def count_tenant_keys_before(self, partner_id: str, version: int) -> int:
        """How many keys of the partner's tenants are under an older version than this."""

    def list_tenant_keys_before(
        self, partner_id: str, version: int, after: tuple[str, int], limit: int
    ) -> Sequence[TenantKey]:
        """Those keys, beyond a tenant and version, in order."""

    def change_tenant_keys(
        self, changes: Sequence[tuple[TenantKey, WrappedKey]], entry_of: Callable[[str], Entry]
    ) -> int:
        """Put the new where the old still is; how many were changed. RetiredKeyVersion, and then none."""

    def remove_partner_keys_before(self, partner_id: str, version: int) -> bool:
        """False, and nothing is removed, if a tenant's key is under one of them."""

    def remove_tenant_keys_before(self, tenant_id: str, version: int, entry: Entry) -> bool:
        """False, and nothing is removed, if anything at all is under one of them."""

    def list_foreign_partner_keys(self, kms_key_id: str) -> Sequence[PartnerKey]:
        """Those that another root key wraps than this."""

    def list_foreign_system_keys(self, kms_key_id: str) -> Sequence[SystemKey]:
        """Those that another root key wraps than this."""

    def change_partner_key(self, old: PartnerKey, new: WrappedKey, entry_of: Callable[[str], Entry]) -> bool:
        """Put the new where the old still is, with an entry for each of the partner's tenants."""

    def change_system_key(self, old: SystemKey, new: WrappedKey) -> bool:
        """Put the new where the old still is."""

    def last_finished(self) -> datetime | None:
        """When a key of any level was last renewed."""


Told = Callable[[int, int], None]
"""Hears how many rows are done, of how many there were at the start."""


class KeyRotation:
    """The keys of the chain, renewed: for an operator at the machine."""

    def __init__(
        self,
        store: RotationStore,
        ring: KeyRing,
        roots: Succession,
        holders: Sequence[DataKeys],
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._ring = ring
        self._roots = roots
        self._holders = holders
        self._clock = clock
        self._pause = pause

    def last_finished(self) -> datetime | None:
        """When a key of any level was last renewed."""
        return self._store.last_finished()

    def tenants(self, older_than: timedelta | None = None) -> Iterator[str]:
        """Every tenant that has a key, in order; or only those whose oldest key is older than this."""
        before, after = self._clock.now() - (older_than or timedelta(0)), ""
        while page := self._store.list_tenants(before, after, BATCH):
            yield from page
            after = page[-1]

    def rotate_tenant(self, tenant_id: str, told: Told) -> Proof:
        """A new key for the tenant, and every data key of its secrets under it. NotFound, Unavailable.

        Rows that do not open stay as they are, and then so does the version that they name.
        """
        partner_id = self._store.find_partner(tenant_id)
        if partner_id is None:
            raise NotFound("There is no such tenant.")
        versions = [row.version for row in self._store.find_tenant_keys(tenant_id)]
        if not versions:
            return Proof(0, 0, ())
        if len(versions) == 1:
            self._add_tenant_key(partner_id, tenant_id, versions[0] + 1)
        self._ring.forget(tenant_id)
        keys = self._ring.for_tenant(partner_id, tenant_id)
        version = keys.active_version

        def count() -> int:
            return sum(holder.count_before(tenant_id, version) for holder in self._holders)

        def passes() -> Iterator[Batch]:
            for holder in self._holders:
                yield from holder.rewrap(keys)

        def remove(rewrapped: int) -> bool:
            facts: dict[str, Extra] = {"version": version, "stage": "finished", "rewrapped": rewrapped}
            entry = self._entry(partner_id, tenant_id, Level.TENANT, facts)
            return self._store.remove_tenant_keys_before(tenant_id, version, entry)

        return self._rewrap_all(version, count, passes, remove, told)

    def rotate_partner(self, partner_id: str, told: Told) -> Proof:
        """A new key for the partner, and every key of its tenants under it. NotFound, Unavailable."""
        versions = [row.version for row in self._store.find_partner_keys(partner_id)]
        if not versions:
            raise NotFound("There is no such partner, or nothing was ever sealed for it.")
        if len(versions) == 1:
            version = versions[0] + 1
            context = chain.partner_context(partner_id, version)
            self._store.add_next_partner_key(partner_id, chain.wrap_by_root(self._roots, version, Key.fresh(), context))
        self._ring.forget_partner(partner_id)
        partner_keys = self._ring.partner_keys(partner_id)
        version = max(partner_keys)

        def count() -> int:
            return self._store.count_tenant_keys_before(partner_id, version)

        def passes() -> Iterator[Batch]:
            after = ("", 0)
            while page := self._store.list_tenant_keys_before(partner_id, version, after, BATCH):
                after = (page[-1].tenant_id, page[-1].version)
                yield self._rewrap_tenant_keys(partner_id, partner_keys, page)

        def remove(_rewrapped: int) -> bool:
            return self._store.remove_partner_keys_before(partner_id, version)

        return self._rewrap_all(version, count, passes, remove, told)

    def rewrap_root(self, told: Told) -> Proof:
        """Every partner and system key that another root key wraps, under the active one. Unavailable.

        Each is opened by the service that its row names, wrapped by the active one, and opened by that in turn before
        it replaces the row: there is no other copy.
        """
        active = self._roots.active.key_id
        partner_keys = self._store.list_foreign_partner_keys(active)
        system_keys = self._store.list_foreign_system_keys(active)
        steps = [
            (f"partner key {row.partner_id} {row.version}", partial(self._move_partner_key, row))
            for row in partner_keys
        ]
        steps += [(f"system key {row.purpose}", partial(self._move_system_key, row)) for row in system_keys]
        done, unreadable = 0, list[str]()
        for name, step in steps:
            try:
                done += step()
            except TamperedCiphertext:
                unreadable.append(name)
            told(done, len(steps))
        left = len(self._store.list_foreign_partner_keys(active)) + len(self._store.list_foreign_system_keys(active))
        return Proof(done, left, unreadable)

    def _move_partner_key(self, row: PartnerKey) -> bool:
        new = self._under_active_root(row, chain.partner_context(row.partner_id, row.version))
        facts: dict[str, Extra] = {"version": row.version, "root": new.kms_key_id}
        return self._store.change_partner_key(
            row, new, lambda tenant_id: self._entry(row.partner_id, tenant_id, Level.ROOT, facts)
        )

    def _move_system_key(self, row: SystemKey) -> bool:
        new = self._under_active_root(row, chain.system_context(row.purpose, row.version))
        return self._store.change_system_key(row, new)

    def _under_active_root(self, row: PartnerKey | SystemKey, context: bytes) -> WrappedKey:
        old = WrappedKey(row.version, row.wrapped, row.kms_key_id, wrapping_version=None)
        key = chain.open_by_root(self._roots, old, context)
        new = chain.wrap_by_root(self._roots, row.version, key, context)
        if chain.open_by_root(self._roots, new, context) != key:
            raise Unavailable("The key service does not return what it was given.")
        return new

    def _add_tenant_key(self, partner_id: str, tenant_id: str, version: int) -> None:
        """Add a version, unless another rotation has: then that one it is."""
        facts: dict[str, Extra] = {"version": version, "stage": "begun"}
        entry = self._entry(partner_id, tenant_id, Level.TENANT, facts)
        try:
            self._store.add_next_tenant_key(tenant_id, self._fresh_tenant_key(partner_id, tenant_id, version), entry)
        except RetiredKeyVersion:
            self._ring.forget_partner(partner_id)
            self._store.add_next_tenant_key(tenant_id, self._fresh_tenant_key(partner_id, tenant_id, version), entry)

    def _fresh_tenant_key(self, partner_id: str, tenant_id: str, version: int) -> WrappedKey:
        return chain.wrap_by_partner(self._ring.partner_keys(partner_id), partner_id, tenant_id, version, Key.fresh())

    def _rewrap_tenant_keys(self, partner_id: str, partner_keys: Mapping[int, Key], page: Sequence[TenantKey]) -> Batch:
        version = max(partner_keys)
        changes, unreadable = [], []
        for row in page:
            old = WrappedKey(row.version, row.wrapped, kms_key_id=None, wrapping_version=None)
            try:
                key = chain.open_by_partner(partner_keys, partner_id, row.tenant_id, old)
            except TamperedCiphertext:
                unreadable.append(f"tenant key {row.tenant_id} {row.version}")
                continue
            changes.append((row, chain.wrap_by_partner(partner_keys, partner_id, row.tenant_id, row.version, key)))
        facts: dict[str, Extra] = {"version": version}
        changed = self._store.change_tenant_keys(
            changes, lambda tenant_id: self._entry(partner_id, tenant_id, Level.PARTNER, facts)
        )
        return Batch(changed, unreadable)

    def _rewrap_all(
        self,
        version: int,
        count: Callable[[], int],
        passes: Callable[[], Iterator[Batch]],
        remove: Callable[[int], bool],
        told: Told,
    ) -> Proof:
        """Pass after pass, until nothing is left under older versions and they are gone.

        More than one: a process that has not heard of the new version yet may add rows, and rows that are held are
        passed over. What does not open is left, and the count says so.
        """
        done, total, pauses = 0, count(), 0
        while True:
            began, unreadable = done, list[str]()
            for batch in passes():
                done += batch.rewrapped
                unreadable += batch.unreadable
                told(done, total)
            left = count()
            if left == 0 and remove(done):
                return Proof(done, 0, (), version)
            if left and left == len(unreadable):
                return Proof(done, left, unreadable, version)
            if done == began:
                pauses += 1
                if pauses > MOST_PAUSES:
                    raise Unavailable(f"{left} rows are held by others and were left; run it again.")
                self._pause(PAUSE_SECONDS)

    def _entry(self, partner_id: str, tenant_id: str, level: Level, facts: Mapping[str, Extra]) -> Entry:
        entry = Entry.of(Action.KEY_ROTATE, self._caller(partner_id, tenant_id))
        return replace(entry, extra={"key": level.value, **facts})

    def _caller(self, partner_id: str, tenant_id: str) -> Caller:
        principal = Principal.of_system(IDENTITY, "Key rotation", partner_id, tenant_id, self._clock.now())
        here = ip_address("127.0.0.1")
        return Caller(principal, Origin(here, "scaivault server", new_id("req"), uuid4().hex, time.perf_counter()))
