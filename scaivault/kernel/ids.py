"""Identifiers: a documented prefix and a time-ordered UUIDv7 in hex."""

import os
import time
from typing import Final

# As they are made here, and as the identity provider makes them: whoever names a tenant or a partner may name either.
TENANT_ID: Final = r"tnt_[A-Za-z0-9_-]{1,96}"
PARTNER_ID: Final = r"ptn_[A-Za-z0-9_-]{1,96}"


def new_id(prefix: str) -> str:
    """A fresh id such as `pol_0193…`, ordered by its millisecond of creation (RFC 9562, version 7)."""
    return f"{prefix}_{uuid7().to_bytes(16, 'big').hex()}"


def uuid7() -> int:
    """48 bits of Unix milliseconds, version 7, variant 10, and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    number = (milliseconds << 80) | noise
    number = number & ~(0xF << 76) | (0x7 << 76)
    return number & ~(0x3 << 62) | (0x2 << 62)
