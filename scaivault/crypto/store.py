"""SQL of wrapped keys: the KeyStore that the key ring reads in production. Nothing in it opens without the KMS."""

from collections.abc import Sequence

from scaivault.crypto.keyring import WrappedKey
from scaivault.storage.database import Database


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
        with self._database.session() as session:
            return bool(
                session.run(
                    """
                    INSERT INTO tenant_keys (tenant_id, version, wrapped, wrapping_version)
                    VALUES (%(tenant_id)s, %(version)s, %(wrapped)s, %(wrapping_version)s)
                        ON CONFLICT ON CONSTRAINT tenant_keys_pkey DO NOTHING
                    """,
                    tenant_id=tenant_id,
                    version=key.version,
                    wrapped=key.wrapped,
                    wrapping_version=key.wrapping_version,
                )
            )

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
