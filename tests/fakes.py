"""In-memory stand-ins for ports. Each passes the conformance tests of the real ones."""

import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.errors import RetiredKeyVersion, TamperedCiphertext
from scaivault.crypto.rotation import PartnerKey, SystemKey, TenantKey
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.journal import Entry
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
    """A KeyStore and RotationStore in dicts.

    `before_add` runs before every add: the moment in which another process may be faster. `partner_of` says whose a
    tenant is; one that it does not name may be anybody's. `references(tenant_id, version)` says how many rows are under
    a version of a tenant's key. `entries` has what was journalled.
    """

    def __init__(self) -> None:
        self.partners: dict[str, dict[int, WrappedKey]] = {}
        self.tenants: dict[str, dict[int, WrappedKey]] = {}
        self.system: dict[str, WrappedKey] = {}
        self.partner_of: dict[str, str] = {}
        self.references: Callable[[str, int], int] = _none
        self.before_add: Callable[[], None] | None = None
        self.reads: list[str] = []
        self.entries: list[Entry] = []
        self.finished_at: datetime | None = None

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
        if key.version in self.tenants.get(tenant_id, {}):
            return False
        self._check_wrapping(tenant_id, key)
        return self.tenants.setdefault(tenant_id, {}).setdefault(key.version, key) is key

    def add_system_key(self, purpose: str, key: WrappedKey) -> bool:
        self._someone_else()
        return self.system.setdefault(purpose, key) is key

    def find_partner(self, tenant_id: str) -> str | None:
        return self.partner_of.get(tenant_id)

    def list_tenants(self, before: datetime, after: str, limit: int) -> Sequence[str]:
        return [tenant_id for tenant_id in sorted(self.tenants) if tenant_id > after][:limit]

    def add_next_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        return self.add_partner_key(partner_id, key)

    def add_next_tenant_key(self, tenant_id: str, key: WrappedKey, entry: Entry) -> bool:
        added = self.add_tenant_key(tenant_id, key)
        self.entries += [entry] * added
        return added

    def count_tenant_keys_before(self, partner_id: str, version: int) -> int:
        return len(self._under(partner_id, version))

    def list_tenant_keys_before(
        self, partner_id: str, version: int, after: tuple[str, int], limit: int
    ) -> Sequence[TenantKey]:
        return [row for row in self._under(partner_id, version) if (row.tenant_id, row.version) > after][:limit]

    def change_tenant_keys(
        self, changes: Sequence[tuple[TenantKey, WrappedKey]], entry_of: Callable[[str], Entry]
    ) -> int:
        for old, new in changes:
            self._check_wrapping(old.tenant_id, new)
        changed = 0
        for old, new in changes:
            found = self.tenants.get(old.tenant_id, {}).get(old.version)
            if found is not None and found.wrapped == old.wrapped:
                self.tenants[old.tenant_id][old.version] = new
                self.entries.append(entry_of(old.tenant_id))
                changed += 1
        return changed

    def remove_partner_keys_before(self, partner_id: str, version: int) -> bool:
        if self._under(partner_id, version):
            return False
        self._remove(self.partners.get(partner_id, {}), version)
        return True

    def remove_tenant_keys_before(self, tenant_id: str, version: int, entry: Entry) -> bool:
        versions = self.tenants.get(tenant_id, {})
        if any(self.references(tenant_id, each) for each in versions if each < version):
            return False
        self.entries += [entry] * self._remove(versions, version)
        return True

    def list_foreign_partner_keys(self, kms_key_id: str) -> Sequence[PartnerKey]:
        return [
            PartnerKey(partner_id, row.version, row.wrapped, str(row.kms_key_id))
            for partner_id, versions in sorted(self.partners.items())
            for _, row in sorted(versions.items())
            if row.kms_key_id != kms_key_id
        ]

    def list_foreign_system_keys(self, kms_key_id: str) -> Sequence[SystemKey]:
        return [
            SystemKey(purpose, row.version, row.wrapped, str(row.kms_key_id))
            for purpose, row in sorted(self.system.items())
            if row.kms_key_id != kms_key_id
        ]

    def change_partner_key(self, old: PartnerKey, new: WrappedKey, entry_of: Callable[[str], Entry]) -> bool:
        found = self.partners.get(old.partner_id, {}).get(old.version)
        if found is None or found.wrapped != old.wrapped:
            return False
        self.partners[old.partner_id][old.version] = new
        self.entries += [entry_of(each) for each, owner in sorted(self.partner_of.items()) if owner == old.partner_id]
        self._finish()
        return True

    def change_system_key(self, old: SystemKey, new: WrappedKey) -> bool:
        found = self.system.get(old.purpose)
        if found is None or found.wrapped != old.wrapped:
            return False
        self.system[old.purpose] = new
        self._finish()
        return True

    def last_finished(self) -> datetime | None:
        return self.finished_at

    def _under(self, partner_id: str, version: int) -> list[TenantKey]:
        """The partner's tenants' keys that are under older versions of its key."""
        return [
            TenantKey(tenant_id, row.version, row.wrapped)
            for tenant_id, versions in sorted(self.tenants.items())
            for _, row in sorted(versions.items())
            if self.partner_of.get(tenant_id) == partner_id and row.wrapping_version < version
        ]

    def _check_wrapping(self, tenant_id: str, key: WrappedKey) -> None:
        """The foreign key of the real tables."""
        owner = self.partner_of.get(tenant_id)
        owners = [owner] if owner else list(self.partners)
        if not any(key.wrapping_version in self.partners.get(each, {}) for each in owners):
            raise RetiredKeyVersion

    def _remove(self, versions: dict[int, WrappedKey], before: int) -> bool:
        older = [version for version in versions if version < before]
        for version in older:
            del versions[version]
        if older:
            self._finish()
        return bool(older)

    def _finish(self) -> None:
        self.finished_at = datetime.now(UTC)  # noqa: TID251 - as the database's own clock

    def _someone_else(self) -> None:
        meanwhile, self.before_add = self.before_add, None
        if meanwhile is not None:
            meanwhile()


def _none(_tenant_id: str, _version: int) -> int:
    return 0


class NobodyListens:
    """An Outbox of a tenant that has no webhook: nothing is wanted, nothing kept."""

    def is_wanted(self, _event) -> bool:
        return False

    def catch_up(self) -> None:
        pass

    def publish(self, _tx, _event) -> None:
        pass
