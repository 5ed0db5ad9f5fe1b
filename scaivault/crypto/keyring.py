"""The chain root (KMS) → partner key → tenant key, opened once and kept for a while.

Reads and writes of the store happen in the store's own short transactions; never call `for_tenant` or `system_key`
from inside one.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeVar

from scaivault.crypto import chain
from scaivault.crypto.cache import ExpiringCache, Kept
from scaivault.crypto.chain import FIRST_VERSION, WrappedKey
from scaivault.crypto.errors import RetiredKeyVersion, TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.crypto.kms.succession import Succession
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyService

Found = TypeVar("Found")
_MOST_SYSTEM_KEYS = 64
_ROOT_CHECK = "root-check"


class KeyStore(Protocol):
    """Where wrapped keys rest. Every call is a transaction of its own, durable when it returns."""

    def find_partner_keys(self, partner_id: str) -> Sequence[WrappedKey]:
        """Every version, in any order; empty if the partner has none yet."""

    def find_tenant_keys(self, tenant_id: str) -> Sequence[WrappedKey]:
        """Every version, in any order; empty if the tenant has none yet."""

    def find_system_key(self, purpose: str) -> WrappedKey | None:
        """The key for this purpose, if there is one yet."""

    def add_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        """False if that version is there already, which then stays as it is."""

    def add_tenant_key(self, tenant_id: str, key: WrappedKey) -> bool:
        """False if that version is there already, which then stays as it is.

        RetiredKeyVersion if the partner key that wraps it is no longer there.
        """

    def add_system_key(self, purpose: str, key: WrappedKey) -> bool:
        """False if the purpose has a key already, which then stays as it is."""


class KeyRing:
    """Opened keys in memory: one KMS call per partner key and `seconds_to_keep`, for any number of tenants.

    A tenant's keys expire together with the partner's they were opened with, whose time runs from before the key
    service was asked: `seconds_to_keep` after the key service's last yes nothing of that chain is served, and a
    key service that is away then means Unavailable. Revoking the root therefore works within that time.

    A tenant's keys are filed under its epoch (`epoch_of`, at most half a second old), which a rotation moves: within
    that time every process seals under the new version. One that is later still does no harm: what it stores under a
    version that was removed meanwhile, the database refuses.
    """

    def __init__(
        self,
        store: KeyStore,
        kms: KeyService,
        *,
        seconds_to_keep: float,
        most_tenants: int,
        previous_kms: KeyService | None = None,
        epoch_of: Callable[[str], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        on_cache: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._roots = Succession(kms, previous_kms)
        self._epoch_of = epoch_of or _always_the_first
        self._seconds_to_keep = seconds_to_keep
        self._monotonic = monotonic
        tell = on_cache or _tell_nobody
        # Tenants are cached under both ids: whoever comes with the wrong partner meets the AAD, not a hit.
        self._tenants = ExpiringCache[tuple[str, str, int], TenantKeys](
            most=most_tenants, monotonic=monotonic, told=tell
        )
        self._partners = ExpiringCache[str, Mapping[int, Key]](
            most=most_tenants, monotonic=monotonic, told=_tell_nobody
        )
        # System keys do not expire. They open no secret: they recognise tokens and cursors, and that must go on while
        # the key service is away, or its outage would turn every request, health detail and metric into a 401. What
        # reads values still needs `for_tenant`, which does expire.
        self._system = ExpiringCache[str, Key](most=_MOST_SYSTEM_KEYS, monotonic=monotonic, told=_tell_nobody)

        self._root_row: WrappedKey | None = None

    def for_tenant(self, partner_id: str, tenant_id: str) -> TenantKeys:
        """Every version of the tenant's key, made on first use. Unavailable when the key service is needed and away."""
        # The epoch is taken before the keys are read: they are as new as it says, or newer.
        name = (partner_id, tenant_id, self._epoch_of(tenant_id))
        return self._tenants.get(name, lambda: self._load_tenant(partner_id, tenant_id)).held

    def partner_keys(self, partner_id: str) -> Mapping[int, Key]:
        """Every version of the partner's key, made on first use. Unavailable as above."""
        return self._partner(partner_id).held

    def system_key(self, purpose: str) -> Key:
        """The installation's key for one purpose, made on first use, kept for the life of the process."""
        return self._system.get(purpose, lambda: self._load_system(purpose)).held

    def check_root(self) -> None:
        """Return if a stored key opens under the root key. Unavailable if that is not this installation's, or is away.

        The key service is asked each time, the store at first and when the row that is known opens no more: a change
        of the root key wraps it anew. A store that is away says nothing of the root key, and has a check of its own.
        """
        if self._root_row is not None and self._opens(self._root_row):
            return
        try:
            row = self._store.find_system_key(_ROOT_CHECK)
        except Unavailable:
            return
        row = row or self._system_row(_ROOT_CHECK)
        self._open(row, chain.system_context(_ROOT_CHECK, row.version))
        self._root_row = row

    def forget(self, tenant_id: str) -> None:
        """Read this tenant's keys afresh the next time, because a version was added or one was not found."""
        self._tenants.forget(lambda name: name[1] == tenant_id)

    def forget_partner(self, partner_id: str) -> None:
        """Read this partner's keys, and with them its tenants', afresh the next time."""
        self._partners.forget(lambda name: name == partner_id)
        self._tenants.forget(lambda name: name[0] == partner_id)

    def _load_tenant(self, partner_id: str, tenant_id: str) -> Kept[TenantKeys]:
        try:
            return self._open_tenant(partner_id, tenant_id)
        except (UnknownKeyVersion, RetiredKeyVersion):
            # The partner's key was renewed after it was read here: read afresh it fits, or the row is not ours.
            self._partners.forget(lambda name: name == partner_id)
            return self._open_tenant(partner_id, tenant_id)

    def _open_tenant(self, partner_id: str, tenant_id: str) -> Kept[TenantKeys]:
        partner = self._partner(partner_id)
        rows = self._store.find_tenant_keys(tenant_id)
        if not rows:
            first = chain.wrap_by_partner(partner.held, partner_id, tenant_id, FIRST_VERSION, Key.fresh())
            self._store.add_tenant_key(tenant_id, first)
            rows = _reread(self._store.find_tenant_keys(tenant_id))
        by_version = {row.version: chain.open_by_partner(partner.held, partner_id, tenant_id, row) for row in rows}
        keys = TenantKeys(partner_id, tenant_id, MappingProxyType(by_version))
        return Kept(keys, partner.until_seconds)

    def _partner(self, partner_id: str) -> Kept[Mapping[int, Key]]:
        return self._partners.get(partner_id, lambda: self._load_partner(partner_id))

    def _load_partner(self, partner_id: str) -> Kept[Mapping[int, Key]]:
        until_seconds = self._monotonic() + self._seconds_to_keep
        rows = self._store.find_partner_keys(partner_id)
        if not rows:
            self._store.add_partner_key(partner_id, self._first(chain.partner_context(partner_id, FIRST_VERSION)))
            rows = _reread(self._store.find_partner_keys(partner_id))
        by_version = {row.version: self._open(row, chain.partner_context(partner_id, row.version)) for row in rows}
        return Kept(MappingProxyType(by_version), until_seconds)

    def _opens(self, row: WrappedKey) -> bool:
        try:
            chain.open_by_root(self._roots, row, chain.system_context(_ROOT_CHECK, row.version))
        except TamperedCiphertext:
            return False
        return True

    def _system_row(self, purpose: str) -> WrappedKey:
        row = self._store.find_system_key(purpose)
        if row is None:
            self._store.add_system_key(purpose, self._first(chain.system_context(purpose, FIRST_VERSION)))
            row = _reread(self._store.find_system_key(purpose))
        return row

    def _load_system(self, purpose: str) -> Kept[Key]:
        row = self._system_row(purpose)
        return Kept(self._open(row, chain.system_context(purpose, row.version)), math.inf)

    def _open(self, row: WrappedKey, context: bytes) -> Key:
        """A stored key under the root key. That it does not open is no caller's fault, and nothing he could mend."""
        try:
            return chain.open_by_root(self._roots, row, context)
        except TamperedCiphertext as foreign:
            raise Unavailable("The root key is not the one that this installation's keys are under.") from foreign

    def _first(self, context: bytes) -> WrappedKey:
        return chain.wrap_by_root(self._roots, FIRST_VERSION, Key.fresh(), context)


def _reread(found: Found | None) -> Found:
    """What the store holds after an `add`, ours or that of a process that was faster.

    A new key is always taken from the store and opened before its first use: two processes that both made one agree
    on the one that was kept, and no key that can not be opened again ever seals anything.
    """
    if not found:
        raise Unavailable("The key store does not keep what it was given.")
    return found


def _always_the_first(_tenant_id: str) -> int:
    return 0


def _tell_nobody(_result: str) -> None:
    pass
