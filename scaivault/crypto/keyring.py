"""The chain root (KMS) → partner key → tenant key, opened once and kept for a while.

Reads and writes of the store happen in the store's own short transactions; never call `for_tenant` or `system_key`
from inside one.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeVar

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind, aad
from scaivault.crypto.cache import ExpiringCache, Kept
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import KEY_BYTES, Key, TenantKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyService
from scaivault.kernel.redacted import Redacted

Found = TypeVar("Found")
_FIRST_VERSION = 1
_MOST_SYSTEM_KEYS = 64


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of a key at rest. A partner or system key names its root key, a tenant key its partner key."""

    version: int
    wrapped: bytes = field(repr=False)
    kms_key_id: str | None
    wrapping_version: int | None


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
        """False if that version is there already, which then stays as it is."""

    def add_system_key(self, purpose: str, key: WrappedKey) -> bool:
        """False if the purpose has a key already, which then stays as it is."""


class KeyRing:
    """Opened keys in memory: one KMS call per partner key and `seconds_to_keep`, for any number of tenants.

    A tenant's keys expire together with the partner's they were opened with, whose time runs from before the key
    service was asked: `seconds_to_keep` after the key service's last yes nothing of that chain is served, and a
    key service that is away then means Unavailable. Revoking the root therefore works within that time.
    """

    def __init__(
        self,
        store: KeyStore,
        kms: KeyService,
        *,
        seconds_to_keep: float,
        most_tenants: int,
        monotonic: Callable[[], float] = time.monotonic,
        on_cache: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._kms = kms
        self._seconds_to_keep = seconds_to_keep
        self._monotonic = monotonic
        tell = on_cache or _tell_nobody
        # Tenants are cached under both ids: whoever comes with the wrong partner meets the AAD, not a hit.
        self._tenants = ExpiringCache[tuple[str, str], TenantKeys](most=most_tenants, monotonic=monotonic, told=tell)
        self._partners = ExpiringCache[str, Mapping[int, Key]](
            most=most_tenants, monotonic=monotonic, told=_tell_nobody
        )
        # System keys do not expire. They open no secret: they recognise tokens and cursors, and that must go on while
        # the key service is away, or its outage would turn every request, health detail and metric into a 401. What
        # reads values still needs `for_tenant`, which does expire.
        self._system = ExpiringCache[str, Key](most=_MOST_SYSTEM_KEYS, monotonic=monotonic, told=_tell_nobody)

    def for_tenant(self, partner_id: str, tenant_id: str) -> TenantKeys:
        """Every version of the tenant's key, made on first use. Unavailable when the key service is needed and away."""
        return self._tenants.get((partner_id, tenant_id), lambda: self._load_tenant(partner_id, tenant_id)).held

    def system_key(self, purpose: str) -> Key:
        """The installation's key for one purpose, made on first use, kept for the life of the process."""
        return self._system.get(purpose, lambda: self._load_system(purpose)).held

    def forget(self, tenant_id: str) -> None:
        """Read this tenant's keys afresh the next time, because a version was added or one was not found."""
        self._tenants.forget(lambda name: name[1] == tenant_id)

    def forget_partner(self, partner_id: str) -> None:
        """Read this partner's keys, and with them its tenants', afresh the next time."""
        self._partners.forget(lambda name: name == partner_id)
        self._tenants.forget(lambda name: name[0] == partner_id)

    def _load_tenant(self, partner_id: str, tenant_id: str) -> Kept[TenantKeys]:
        partner = self._partners.get(partner_id, lambda: self._load_partner(partner_id))
        rows = self._store.find_tenant_keys(tenant_id)
        if not rows:
            self._store.add_tenant_key(tenant_id, self._first_tenant_key(partner.held, partner_id, tenant_id))
            rows = _reread(self._store.find_tenant_keys(tenant_id))
        by_version = {row.version: _open_tenant_key(partner.held, partner_id, tenant_id, row) for row in rows}
        keys = TenantKeys(partner_id, tenant_id, MappingProxyType(by_version))
        return Kept(keys, partner.until_seconds)

    def _load_partner(self, partner_id: str) -> Kept[Mapping[int, Key]]:
        until_seconds = self._monotonic() + self._seconds_to_keep
        rows = self._store.find_partner_keys(partner_id)
        if not rows:
            self._store.add_partner_key(partner_id, self._wrap_by_root(_partner_context(partner_id, _FIRST_VERSION)))
            rows = _reread(self._store.find_partner_keys(partner_id))
        by_version = {row.version: self._open_by_root(row, _partner_context(partner_id, row.version)) for row in rows}
        return Kept(MappingProxyType(by_version), until_seconds)

    def _load_system(self, purpose: str) -> Kept[Key]:
        row = self._store.find_system_key(purpose)
        if row is None:
            self._store.add_system_key(purpose, self._wrap_by_root(_system_context(purpose, _FIRST_VERSION)))
            row = _reread(self._store.find_system_key(purpose))
        return Kept(self._open_by_root(row, _system_context(purpose, row.version)), math.inf)

    def _first_tenant_key(self, partner_keys: Mapping[int, Key], partner_id: str, tenant_id: str) -> WrappedKey:
        wrapping_version = max(partner_keys)
        context = _tenant_context(partner_id, tenant_id, _FIRST_VERSION)
        wrapping = partner_keys[wrapping_version]
        wrapped = aead.wrap(Kind.BY_PARTNER_KEY, wrapping, wrapping_version, Key.fresh(), context)
        return WrappedKey(_FIRST_VERSION, wrapped, kms_key_id=None, wrapping_version=wrapping_version)

    def _wrap_by_root(self, context: bytes) -> WrappedKey:
        wrapped = self._kms.encrypt(Key.fresh().reveal(), context)
        return WrappedKey(_FIRST_VERSION, wrapped, kms_key_id=self._kms.key_id, wrapping_version=None)

    def _open_by_root(self, row: WrappedKey, context: bytes) -> Key:
        opened = Redacted(self._kms.decrypt(row.wrapped, context))
        if len(opened.reveal()) != KEY_BYTES:
            raise TamperedCiphertext
        return Key(opened.reveal())


def _open_tenant_key(partner_keys: Mapping[int, Key], partner_id: str, tenant_id: str, row: WrappedKey) -> Key:
    # The column serves queries ("what is still under version 3?"); what counts is the authenticated header.
    version = aead.wrapping_version(Kind.BY_PARTNER_KEY, row.wrapped)
    wrapping = partner_keys.get(version)
    if wrapping is None:
        raise UnknownKeyVersion
    context = _tenant_context(partner_id, tenant_id, row.version)
    return aead.unwrap(Kind.BY_PARTNER_KEY, wrapping, version, row.wrapped, context)


def _reread(found: Found | None) -> Found:
    """What the store holds after an `add`, ours or that of a process that was faster.

    A new key is always taken from the store and opened before its first use: two processes that both made one agree
    on the one that was kept, and no key that can not be opened again ever seals anything.
    """
    if not found:
        raise Unavailable("The key store does not keep what it was given.")
    return found


def _partner_context(partner_id: str, version: int) -> bytes:
    return aad("partner-key", partner_id, str(version))


def _tenant_context(partner_id: str, tenant_id: str, version: int) -> bytes:
    return aad("tenant-key", partner_id, tenant_id, str(version))


def _system_context(purpose: str, version: int) -> bytes:
    return aad("system-key", purpose, str(version))


def _tell_nobody(_result: str) -> None:
    pass
