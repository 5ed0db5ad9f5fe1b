"""SQL of wrapped keys, for the key ring and for rotation. Nothing in these tables opens without the KMS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scaivault.crypto.chain import WrappedKey
from scaivault.crypto.errors import RetiredKeyVersion
from scaivault.crypto.rotation import Level, PartnerKey, SystemKey, TenantKey
from scaivault.kernel.journal import Entry
from scaivault.kernel.ports import Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session
from scaivault.storage.errors import ConstraintViolated, refusing

WRAPPING = "tenant_keys_wrapping_fkey"
_RETIRED = {WRAPPING: RetiredKeyVersion}
# A test compares them with the database.
REFERENCES = ("secret_versions_key_fkey", "webhook_secrets_key_fkey", WRAPPING)


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


@dataclass(frozen=True, slots=True)
class _Id:
    id: str


@dataclass(frozen=True, slots=True)
class _Finished:
    finished_at: datetime | None


class StoredKeys:
    """Wrapped keys in PostgreSQL, a transaction a call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_partner_keys(self, partner_id: str) -> Sequence[WrappedKey]:
        with self._database.session() as session:
            return session.many(
                WrappedKey,
                """
                SELECT version, wrapped, kms_key_id, NULL::integer AS wrapping_version
                  FROM partner_keys
                 WHERE partner_id = %(partner_id)s
                """,
                partner_id=partner_id,
            )

    def find_tenant_keys(self, tenant_id: str) -> Sequence[WrappedKey]:
        with self._database.session() as session:
            return session.many(
                WrappedKey,
                """
                SELECT version, wrapped, NULL::text AS kms_key_id, wrapping_version
                  FROM tenant_keys
                 WHERE tenant_id = %(tenant_id)s
                """,
                tenant_id=tenant_id,
            )

    def find_system_key(self, purpose: str) -> WrappedKey | None:
        with self._database.session() as session:
            return session.one(
                WrappedKey,
                """
                SELECT version, wrapped, kms_key_id, NULL::integer AS wrapping_version
                  FROM system_keys
                 WHERE purpose = %(purpose)s
                """,
                purpose=purpose,
            )

    def add_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        with self._database.session() as session:
            return bool(
                session.run(
                    """
                    INSERT INTO partner_keys (partner_id, version, wrapped, kms_key_id)
                    VALUES (%(partner_id)s, %(version)s, %(wrapped)s, %(kms_key_id)s)
                        ON CONFLICT ON CONSTRAINT partner_keys_pkey DO NOTHING
                    """,
                    partner_id=partner_id,
                    version=key.version,
                    wrapped=key.wrapped,
                    kms_key_id=key.kms_key_id,
                )
            )

    def add_tenant_key(self, tenant_id: str, key: WrappedKey) -> bool:
        with refusing(_RETIRED), self._database.session() as session:
            return _add_tenant_key(session, tenant_id, key)

    def add_system_key(self, purpose: str, key: WrappedKey) -> bool:
        with self._database.session() as session:
            return bool(
                session.run(
                    """
                    INSERT INTO system_keys (purpose, version, wrapped, kms_key_id)
                    VALUES (%(purpose)s, %(version)s, %(wrapped)s, %(kms_key_id)s)
                        ON CONFLICT ON CONSTRAINT system_keys_pkey DO NOTHING
                    """,
                    purpose=purpose,
                    version=key.version,
                    wrapped=key.wrapped,
                    kms_key_id=key.kms_key_id,
                )
            )


class RotatingKeys(StoredKeys):
    """Wrapped keys as rotation changes them: each change in one transaction with the entries that tell of it."""

    def __init__(self, database: Database, journal: Journal[Session]) -> None:
        super().__init__(database)
        self._journal = journal

    def find_partner(self, tenant_id: str) -> str | None:
        with self._database.session() as session:
            found = session.one(_Id, "SELECT partner_id AS id FROM tenants WHERE id = %(id)s", id=tenant_id)
            return found.id if found else None

    def list_tenants(self, before: datetime, after: str, limit: int) -> list[str]:
        with self._database.session() as session:
            rows = session.many(
                _Id,
                """
                SELECT id
                  FROM tenants
                 WHERE id > %(after)s
                   AND (SELECT created_at FROM tenant_keys
                         WHERE tenant_id = tenants.id ORDER BY version LIMIT 1) < %(before)s
                 ORDER BY id
                 LIMIT %(limit)s
                """,
                before=before,
                after=after,
                limit=limit,
            )
            return [row.id for row in rows]

    def add_next_partner_key(self, partner_id: str, key: WrappedKey) -> bool:
        return self.add_partner_key(partner_id, key)

    def add_next_tenant_key(self, tenant_id: str, key: WrappedKey, entry: Entry) -> bool:
        with refusing(_RETIRED), self._database.transaction() as tx:
            if not _add_tenant_key(tx, tenant_id, key):
                return False
            self._journal.record(tx, entry)
            # Every process reads this tenant's keys afresh within a second.
            epochs.move(tx, tenant_id)
            return True

    def count_tenant_keys_before(self, partner_id: str, version: int) -> int:
        with self._database.session() as session:
            found = session.one(
                _Count,
                """
                SELECT count(*) AS count
                  FROM tenant_keys
                 WHERE partner_id = %(partner_id)s AND wrapping_version < %(version)s
                """,
                partner_id=partner_id,
                version=version,
            )
            return found.count if found else 0

    def list_tenant_keys_before(
        self, partner_id: str, version: int, after: tuple[str, int], limit: int
    ) -> Sequence[TenantKey]:
        with self._database.session() as session:
            return session.many(
                TenantKey,
                """
                SELECT tenant_id, version, wrapped
                  FROM tenant_keys
                 WHERE partner_id = %(partner_id)s AND wrapping_version < %(wrapping_version)s
                   AND (tenant_id, version) > (%(tenant_id)s, %(version)s)
                 ORDER BY tenant_id, version
                 LIMIT %(limit)s
                """,
                partner_id=partner_id,
                wrapping_version=version,
                tenant_id=after[0],
                version=after[1],
                limit=limit,
            )

    def change_tenant_keys(
        self, changes: Sequence[tuple[TenantKey, WrappedKey]], entry_of: Callable[[str], Entry]
    ) -> int:
        with refusing(_RETIRED), self._database.transaction() as tx:
            changed = tx.many(
                _Id,
                """
                WITH changes AS (
                    SELECT * FROM unnest(%(tenant_ids)s::text[], %(versions)s::integer[], %(old)s::bytea[],
                                         %(new)s::bytea[], %(wrapping_versions)s::integer[])
                                    AS changes (tenant_id, version, old, new, wrapping_version)
                ), free AS (
                    SELECT changes.*
                      FROM tenant_keys JOIN changes USING (tenant_id, version)
                     WHERE tenant_keys.wrapped = changes.old
                     ORDER BY tenant_id, version
                       FOR NO KEY UPDATE OF tenant_keys SKIP LOCKED
                )
                UPDATE tenant_keys
                   SET wrapped = free.new, wrapping_version = free.wrapping_version
                  FROM free
                 WHERE tenant_keys.tenant_id = free.tenant_id AND tenant_keys.version = free.version
                RETURNING tenant_keys.tenant_id AS id
                """,
                tenant_ids=[old.tenant_id for old, _ in changes],
                versions=[old.version for old, _ in changes],
                old=[old.wrapped for old, _ in changes],
                new=[new.wrapped for _, new in changes],
                wrapping_versions=[new.wrapping_version for _, new in changes],
            )
            for row in changed:
                self._journal.record(tx, entry_of(row.id))
            return len(changed)

    def remove_partner_keys_before(self, partner_id: str, version: int) -> bool:
        def remove(tx: Session) -> None:
            removed = tx.run(
                "DELETE FROM partner_keys WHERE partner_id = %(partner_id)s AND version < %(version)s",
                partner_id=partner_id,
                version=version,
            )
            if removed:
                _note_finished(tx, Level.PARTNER)

        return self._unless_referenced(remove)

    def remove_tenant_keys_before(self, tenant_id: str, version: int, entry: Entry) -> bool:
        def remove(tx: Session) -> None:
            removed = tx.run(
                "DELETE FROM tenant_keys WHERE tenant_id = %(tenant_id)s AND version < %(version)s",
                tenant_id=tenant_id,
                version=version,
            )
            if removed:
                self._journal.record(tx, entry)
                _note_finished(tx, Level.TENANT)

        return self._unless_referenced(remove)

    def list_foreign_partner_keys(self, kms_key_id: str) -> Sequence[PartnerKey]:
        with self._database.session() as session:
            return session.many(
                PartnerKey,
                """
                SELECT partner_id, version, wrapped, kms_key_id
                  FROM partner_keys
                 WHERE kms_key_id <> %(kms_key_id)s
                 ORDER BY partner_id, version
                """,
                kms_key_id=kms_key_id,
            )

    def list_foreign_system_keys(self, kms_key_id: str) -> Sequence[SystemKey]:
        with self._database.session() as session:
            return session.many(
                SystemKey,
                """
                SELECT purpose, version, wrapped, kms_key_id
                  FROM system_keys
                 WHERE kms_key_id <> %(kms_key_id)s
                 ORDER BY purpose
                """,
                kms_key_id=kms_key_id,
            )

    def change_partner_key(self, old: PartnerKey, new: WrappedKey, entry_of: Callable[[str], Entry]) -> bool:
        with self._database.transaction() as tx:
            changed = tx.run(
                """
                UPDATE partner_keys
                   SET wrapped = %(new)s, kms_key_id = %(kms_key_id)s
                 WHERE partner_id = %(partner_id)s AND version = %(version)s AND wrapped = %(old)s
                """,
                partner_id=old.partner_id,
                version=old.version,
                old=old.wrapped,
                new=new.wrapped,
                kms_key_id=new.kms_key_id,
            )
            if changed:
                _note_finished(tx, Level.ROOT)
                tenants = tx.many(_Id, "SELECT id FROM tenants WHERE partner_id = %(id)s", id=old.partner_id)
                for tenant in tenants:
                    self._journal.record(tx, entry_of(tenant.id))
            return bool(changed)

    def change_system_key(self, old: SystemKey, new: WrappedKey) -> bool:
        with self._database.transaction() as tx:
            changed = tx.run(
                """
                UPDATE system_keys
                   SET wrapped = %(new)s, kms_key_id = %(kms_key_id)s
                 WHERE purpose = %(purpose)s AND version = %(version)s AND wrapped = %(old)s
                """,
                purpose=old.purpose,
                version=old.version,
                old=old.wrapped,
                new=new.wrapped,
                kms_key_id=new.kms_key_id,
            )
            if changed:
                _note_finished(tx, Level.ROOT)
            return bool(changed)

    def last_finished(self) -> datetime | None:
        with self._database.session() as session:
            found = session.one(_Finished, "SELECT max(finished_at) AS finished_at FROM key_rotations")
            return found.finished_at if found else None

    def _unless_referenced(self, remove: Callable[[Session], None]) -> bool:
        """Whether the removal was committed; it is not if something is still under what it removes.

        Sound whoever writes meanwhile: the removal waits for every transaction that has stored a row under the version
        and is not over yet (each holds a share of the key's row), and then PostgreSQL itself looks for references;
        whoever comes after it is refused by the same foreign key.
        """
        try:
            with self._database.transaction() as tx:
                remove(tx)
        except ConstraintViolated as violated:
            if violated.constraint not in REFERENCES:
                raise
            return False
        return True


def _add_tenant_key(session: Session, tenant_id: str, key: WrappedKey) -> bool:
    return bool(
        session.run(
            """
            INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version, partner_id)
            SELECT id, %(version)s, %(wrapped)s, %(wrapping_version)s, partner_id FROM tenants WHERE id = %(tenant_id)s
                ON CONFLICT ON CONSTRAINT tenant_keys_pkey DO NOTHING
            """,
            tenant_id=tenant_id,
            version=key.version,
            wrapped=key.wrapped,
            wrapping_version=key.wrapping_version,
        )
    )


def _note_finished(tx: Session, level: Level) -> None:
    tx.run(
        """
        INSERT INTO key_rotations (kind, finished_at)
        VALUES (%(kind)s, clock_timestamp())
            ON CONFLICT ON CONSTRAINT key_rotations_pkey DO UPDATE SET finished_at = excluded.finished_at
        """,
        kind=level.value,
    )
