"""schema.sql is the sum of the migrations: whoever wants to know the tables reads one file."""

import re
from datetime import UTC, datetime

import psycopg
import pytest

from scaivault.dev import postgres
from scaivault.kernel.errors import Unavailable
from scaivault.storage import migrate
from tests.contract import schema

TENANT_TABLES = {
    "audit_log",
    "buffered_events",
    "events",
    "group_members",
    "groups",
    "identities",
    "policies",
    "policy_bindings",
    "rotation_history",
    "rotation_policies",
    "secret_counts",
    "secret_policies",
    "secret_rotations",
    "secret_tags",
    "secret_versions",
    "secrets",
    "subscription_buffers",
    "subscriptions",
    "tenant_keys",
    "tokens",
    "trusts",
    "untold_users",
    "users",
    "webhook_deliveries",
    "webhook_hours",
    "webhook_lanes",
    "webhook_secrets",
    "webhooks",
}
# What belongs to no tenant: what is above tenants, and what is the installation's.
OTHER_TABLES = {
    "authority_clock",
    "directory_events",
    "directory_syncs",
    "key_rotations",
    "partner_keys",
    "partners",
    "system_keys",
    "tenants",
    "workers",
}
# A worker asks for all tenants' work at once: each holds what is due, or what is old, and nothing else of anybody.
WORKERS_INDEXES = {
    "events_occurred_at_idx",
    "events_undispatched_idx",
    "rotation_history_started_at_idx",
    "rotation_policies_unsettled_idx",
    "secret_rotations_queue_idx",
    "secret_rotations_wake_idx",
    "secrets_notice_idx",
    "webhook_lanes_due_idx",
}


def test_the_file_is_what_the_migrations_make(database_url):
    assert schema.FILE.read_text() == schema.dump(database_url), "run `python -m tests.contract.schema`"


def test_nothing_in_it_depends_on_the_day_it_was_made():
    text = schema.FILE.read_text()
    assert re.findall(r"audit_log_\d{4}_\d{2}|yoyo|restrict [A-Za-z0-9]{20}", text) == []


@pytest.fixture(scope="module")
def rows(postgres_server, template_database, module_database_url):
    def rows(query):
        with psycopg.connect(module_database_url) as connection:
            return connection.execute(query).fetchall()

    return rows


def test_every_table_is_a_tenants_or_knowingly_not(rows):
    tables = rows(
        """
        SELECT relname, EXISTS (SELECT FROM pg_attribute
                                 WHERE attrelid = pg_class.oid AND attname = 'tenant_id' AND attnotnull)
          FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
           AND relname !~ 'yoyo'
        """
    )
    assert {name for name, is_tenants in tables if is_tenants} == TENANT_TABLES
    assert {name for name, is_tenants in tables if not is_tenants} == OTHER_TABLES


def test_every_index_of_a_tenants_table_begins_with_the_tenant(rows):
    """Else one tenant's size would be another one's cost. Tokens are found by what nobody knows but their holder."""
    others = rows(
        f"""
        SELECT indexrelid::regclass::text
          FROM pg_index
          JOIN pg_class ON pg_class.oid = indrelid
          LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
         WHERE relname = ANY (ARRAY[{", ".join(f"'{table}'" for table in TENANT_TABLES)}])
           AND attname IS DISTINCT FROM 'tenant_id'
        """
    )
    assert {name for (name,) in others} == {"tokens_digest_key", "tokens_pkey"} | WORKERS_INDEXES


def test_the_months_of_the_trail_are_made_ahead(rows):
    """The part that the file leaves out: this month and six more, without a gap."""
    months = [
        name for (name,) in rows("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1") if "idx" not in name
    ]
    months = [name for name in months if re.fullmatch(r"audit_log_\d{4}_\d{2}", name)]
    now = datetime.now(UTC)  # noqa: TID251 - the migration asks the real clock
    first = now.year * 12 + now.month - 1
    expected = [f"audit_log_{month // 12}_{month % 12 + 1:02}" for month in range(first, first + 7)]
    assert months == expected


def test_a_database_of_another_encoding_is_refused_in_words(postgres_server):
    name = "of_another_encoding"
    with psycopg.connect(postgres_server.url("postgres", postgres.SUPERUSER), autocommit=True) as admin:
        owner = psycopg.conninfo.conninfo_to_dict(postgres_server.url())["user"]
        admin.execute(f"CREATE DATABASE {name} OWNER {owner} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(Unavailable, match="ENCODING 'UTF8'"):
                migrate.apply(postgres_server.url(name))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
