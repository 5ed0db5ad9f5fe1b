"""Symmetric keys in memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scaivault.kernel.redacted import Redacted

KEY_BYTES = 32


class Key(Redacted):
    """Exactly 32 secret bytes."""

    __slots__ = ()

    def __init__(self, hidden: bytes, /) -> None:
        if len(hidden) != KEY_BYTES:
            raise ValueError(f"a key is {KEY_BYTES} bytes")
        super().__init__(hidden)

    @classmethod
    def fresh(cls) -> Self:
        """A new key from the operating system's generator, which is also safe after a fork."""
        return cls(os.urandom(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """Every version of one tenant's key; the highest seals, all of them open."""

    partner_id: str
    tenant_id: str
    by_version: Mapping[int, Key]

    def __post_init__(self) -> None:
        if not self.by_version:
            raise ValueError("a tenant has at least one key")

    @property
    def active_version(self) -> int:
        return max(self.by_version)


def derive(key: Key, purpose: str) -> Key:
    """An independent key for one purpose: knowing it tells nothing of `key` or of what it gives for other purposes."""
    return Key(derive_bytes(key, purpose, KEY_BYTES))


def derive_bytes(key: Key, purpose: str, length: int) -> bytes:
    """HKDF-SHA256. No salt: the input is already uniform (RFC 5869, 3.1), `purpose` alone keeps the outputs apart."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(key.reveal())
