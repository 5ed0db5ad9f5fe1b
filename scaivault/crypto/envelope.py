"""Each version of a secret under a data key of its own, which the tenant's key wraps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind
from scaivault.crypto.errors import UnknownKeyVersion
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.kernel.plaintext import Plaintext
from scaivault.storage.errors import ConstraintViolated

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version lives. What is sealed for one place opens in no other."""

    partner_id: str
    tenant_id: str
    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A version at rest: its content under a data key, and that data key under the tenant's."""

    sealed: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)


class Envelope:
    """Seals and opens versions. `seal` and `open` are local arithmetic and may run inside a transaction."""

    def __init__(self, keyring: KeyRing) -> None:
        self._keyring = keyring

    def keys_for(self, partner_id: str, tenant_id: str) -> TenantKeys:
        """The tenant's keys; may ask the store and the key service, so never inside a transaction."""
        return self._keyring.for_tenant(partner_id, tenant_id)

    @staticmethod
    def seal(keys: TenantKeys, place: Place, plaintext: Plaintext) -> Sealed:
        """Seal under a fresh data key, wrapped by the tenant's active key."""
        _check_owner(keys, place)
        # The data key lives for this call: what it seals can not meet its nonce a second time.
        data_key = Key.fresh()
        version = keys.active_version
        wrapping = keys.by_version[version]
        return Sealed(
            sealed=aead.seal(data_key, plaintext, _context("value", place)),
            wrapped_key=aead.wrap(Kind.BY_TENANT_KEY, wrapping, version, data_key, _context("data-key", place)),
        )

    @staticmethod
    def open(keys: TenantKeys, place: Place, sealed: Sealed) -> Plaintext:
        """Undo `seal`. TamperedCiphertext if it was not sealed for `place`; UnknownKeyVersion if `keys` are too old."""
        _check_owner(keys, place)
        data_key = _data_key(keys, sealed.wrapped_key, _context("data-key", place))
        return aead.open_sealed(data_key, sealed.sealed, _context("value", place))

    @staticmethod
    def rewrap(keys: TenantKeys, place: Place, wrapped_key: bytes) -> bytes:
        """The same data key under the tenant's active key; what it sealed is not looked at. Errors as for `open`."""
        _check_owner(keys, place)
        context = _context("data-key", place)
        data_key = _data_key(keys, wrapped_key, context)
        version = keys.active_version
        return aead.wrap(Kind.BY_TENANT_KEY, keys.by_version[version], version, data_key, context)

    def with_keys(self, partner_id: str, tenant_id: str, key_constraint: str, use: Callable[[TenantKeys], T]) -> T:
        """Seal or open, in a transaction at most; done again, once, if a rotation has overtaken the keys given.

        What was sealed under a key that is gone violates `key_constraint`, of the table that it was to be put into.
        """
        try:
            return use(self.keys_for(partner_id, tenant_id))
        except UnknownKeyVersion:
            pass
        except ConstraintViolated as violated:
            if violated.constraint != key_constraint:
                raise
        self.forget(tenant_id)
        return use(self.keys_for(partner_id, tenant_id))

    def forget(self, tenant_id: str) -> None:
        """Read this tenant's keys afresh the next time, because they turned out to be too old."""
        self._keyring.forget(tenant_id)


def _data_key(keys: TenantKeys, wrapped_key: bytes, context: bytes) -> Key:
    version = aead.wrapping_version(Kind.BY_TENANT_KEY, wrapped_key)
    wrapping = keys.by_version.get(version)
    if wrapping is None:
        raise UnknownKeyVersion
    return aead.unwrap(Kind.BY_TENANT_KEY, wrapping, version, wrapped_key, context)


def _context(purpose: str, place: Place) -> bytes:
    return aead.aad(purpose, place.partner_id, place.tenant_id, place.path, str(place.version))


def _check_owner(keys: TenantKeys, place: Place) -> None:
    """A caller that mixes tenants up is a bug, found before anything is sealed under a stranger's key."""
    if (keys.partner_id, keys.tenant_id) != (place.partner_id, place.tenant_id):
        raise ValueError("these keys belong to another tenant than the place")
