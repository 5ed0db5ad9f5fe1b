"""The arrows of the chain root → partner key → tenant key: how a key is wrapped for its place, and opened there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaivault.crypto import aead
from scaivault.crypto.aead import Kind, aad
from scaivault.crypto.errors import TamperedCiphertext, UnknownKeyVersion
from scaivault.crypto.keys import KEY_BYTES, Key
from scaivault.crypto.kms.succession import Succession
from scaivault.kernel.redacted import Redacted

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version of a key at rest. A partner or system key names its root key, a tenant key its partner key."""

    version: int
    wrapped: bytes = field(repr=False)
    kms_key_id: str | None
    wrapping_version: int | None


def partner_context(partner_id: str, version: int) -> bytes:
    return aad("partner-key", partner_id, str(version))


def system_context(purpose: str, version: int) -> bytes:
    return aad("system-key", purpose, str(version))


def wrap_by_root(roots: Succession, version: int, key: Key, context: bytes) -> WrappedKey:
    """`key` under the active root key: a call to the key service."""
    wrapped = roots.active.encrypt(key.reveal(), context)
    return WrappedKey(version, wrapped, kms_key_id=roots.active.key_id, wrapping_version=None)


def open_by_root(roots: Succession, row: WrappedKey, context: bytes) -> Key:
    """Undo `wrap_by_root`, or TamperedCiphertext: a call to the key service that the row names."""
    opened = Redacted(roots.named(row.kms_key_id).decrypt(row.wrapped, context))
    if len(opened.reveal()) != KEY_BYTES:
        raise TamperedCiphertext
    return Key(opened.reveal())


def wrap_by_partner(
    partner_keys: Mapping[int, Key], partner_id: str, tenant_id: str, version: int, key: Key
) -> WrappedKey:
    """`key` as this version of the tenant's, under the newest of the partner's."""
    wrapping_version = max(partner_keys)
    context = _tenant_context(partner_id, tenant_id, version)
    wrapped = aead.wrap(Kind.BY_PARTNER_KEY, partner_keys[wrapping_version], wrapping_version, key, context)
    return WrappedKey(version, wrapped, kms_key_id=None, wrapping_version=wrapping_version)


def open_by_partner(partner_keys: Mapping[int, Key], partner_id: str, tenant_id: str, row: WrappedKey) -> Key:
    """Undo `wrap_by_partner`. TamperedCiphertext; UnknownKeyVersion if `partner_keys` are too old."""
    # The column serves queries ("what is still under version 3?"); what counts is the authenticated header.
    version = aead.wrapping_version(Kind.BY_PARTNER_KEY, row.wrapped)
    wrapping = partner_keys.get(version)
    if wrapping is None:
        raise UnknownKeyVersion
    context = _tenant_context(partner_id, tenant_id, row.version)
    return aead.unwrap(Kind.BY_PARTNER_KEY, wrapping, version, row.wrapped, context)


def _tenant_context(partner_id: str, tenant_id: str, version: int) -> bytes:
    return aad("tenant-key", partner_id, tenant_id, str(version))
