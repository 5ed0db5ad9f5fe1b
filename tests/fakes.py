"""In-memory stand-ins for ports. Each passes the conformance tests of the real ones."""

import hmac
import secrets
from collections.abc import Callable, Sequence

from scaivault.crypto.errors import TamperedCiphertext
from scaivault.crypto.keyring import WrappedKey
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.ports import KeyState


class MemoryKeys:
    """A KeyService in a dict. `broken = True` is an outage; `calls` counts; `before` runs inside every call."""

    def __init__(self, key_id: str = "memory:1", before: Callable[[str, bytes], None] | None = None) -> None:
        self.key_id = key_id
        self.broken = False
        self.before = before
        self.calls: list[str] = []
        self._sealed: dict[bytes, tuple[bytes, bytes]] = {}
        self._signing_key = secrets.token_bytes(32)

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        self._enter("encrypt", context)
        sealed = secrets.token_bytes(40)
        self._sealed[sealed] = (plaintext, context)
        return sealed

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        self._enter("decrypt", context)
        plaintext, expected = self._sealed.get(sealed, (b"", None))
        if context != expected:
            raise TamperedCiphertext
        return plaintext

    def sign(self, message: bytes) -> bytes:
        self._enter("sign", message)
        return hmac.digest(self._signing_key, message, "sha256")

    def state(self) -> KeyState:
        return KeyState.UNAVAILABLE if self.broken else KeyState.ACTIVE

    def _enter(self, operation: str, subject: bytes) -> None:
        self.calls.append(operation)
        if self.before is not None:
            self.before(operation, subject)
        if self.broken:
            raise Unavailable


class MemoryKeyStore:
    """A KeyStore in dicts. `before_add` runs before every add: the moment in which another process may be faster."""

    def __init__(self) -> None:
        self.partners: dict[str, dict[int, WrappedKey]] = {}
        self.tenants: dict[str, dict[int, WrappedKey]] = {}
        self.system: dict[str, WrappedKey] = {}
        self.before_add: Callable[[], None] | None = None
        self.reads: list[str] = []

    def find_partner_keys(self, partner_id: str) -> Sequence[WrappedKey]:
        self.reads.append(partner_id)
        return list(self.partners.get(partner_id, {}).values())

    def find_tenant_keys(self, tenant_id: str) -> Sequence[WrappedKey]:
        self.reads.append(tenant_id)
        return list(self.tenants.get(tenant_id, {}).values())

    def find_system_key(self, purpose: str) -> WrappedKey | None:
        self.reads.append(purpose)
        return self.system.get(purpose)

    def add_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        self._someone_else()
        return self.partners.setdefault(partner_id, {}).setdefault(key.version, key) is key

    def add_tenant_key(self, tenant_id: str, key: WrappedKey) -> bool:
        self._someone_else()
        return self.tenants.setdefault(tenant_id, {}).setdefault(key.version, key) is key

    def add_system_key(self, purpose: str, key: WrappedKey) -> bool:
        self._someone_else()
        return self.system.setdefault(purpose, key) is key

    def _someone_else(self) -> None:
        meanwhile, self.before_add = self.before_add, None
        if meanwhile is not None:
            meanwhile()
