"""Two tenants in one database, a small one and a large one, filled by PostgreSQL itself.

Both have the same shape: a list or a query finds a full page in either, and the same share of rows passes a filter,
except where a filter is for what is rare, which is as rare in either.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from tests.bench.options import Options
from tests.bench.stage import LARGE_TENANT, SMALL_TENANT, Stage
from tests.bench.wire import BenchFault

DAYS = 75  # of trail, hence three or four tables of it
CHUNK = 1_000_000
RARE = 100  # rows, in either tenant

# A hundred secrets a team; of each hundred one certificate, ten with an owner apart, and some that expire.
ADD_SECRETS = """
    INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at,
                         expires_in_seconds, expires_at)
    SELECT %(tenant)s,
           'team-' || lpad((n / 100)::text, 5, '0') || '/service-' || n / 10 %% 10 || '/secret-' || n %% 10,
           CASE WHEN n %% 100 = 7 THEN 'certificate' WHEN n %% 20 = 3 THEN 'api_key' ELSE 'kv' END,
           1 + n %% 5,
           jsonb_build_object(
               'owner', CASE WHEN n %% 100 = 42 THEN 'security' ELSE 'team-' || lpad((n / 100)::text, 5, '0') END,
               'description', 'What service ' || n / 10 || ' signs in with',
               'tags', CASE WHEN n %% %(one_in)s = 0 THEN '["prod", "pci"]'
                            WHEN n %% 2 = 0 THEN '["prod"]' ELSE '["stage"]' END::jsonb),
           10, now() - interval '90 days', now() - interval '9 days',
           CASE WHEN n %% 10 = 5 THEN 31536000 END,
           CASE WHEN n %% 10 = 5 THEN now() + make_interval(days => 1 + hashint4(n) & 255) END
      FROM generate_series(0, %(count)s - 1) AS n
"""
ADD_TAGS = """
    INSERT INTO secret_tags (tenant_id, tag, path)
    SELECT tenant_id, tag, path
      FROM secrets CROSS JOIN LATERAL jsonb_array_elements_text(metadata -> 'tags') AS tag
     WHERE tenant_id = %(tenant)s
     ORDER BY tag, path
"""
# `noise` are 31 bits that depend on n alone. A hundred identities, a hundred services of ten applications; most entries
# are reads, one in a hundred is a delete, one in a hundred a refusal.
ADD_ENTRIES = """
    INSERT INTO audit_log (tenant_id, occurred_at, id, action, identity_type, identity_id, secret_path, source_ip,
                           user_agent, success, duration_ms, request_id, trace_id, extra_data)
    SELECT %(tenant)s,
           %(now)s - %(span)s::interval * ((%(count)s - n)::float8 / %(count)s),
           'log_' || md5(n::text),
           CASE WHEN noise / 128 %% 100 = 0 THEN 'policy_violation' WHEN noise %% 100 < 90 THEN 'read'
                WHEN noise %% 100 < 95 THEN 'write' WHEN noise %% 100 < 99 THEN 'list' ELSE 'delete' END,
           CASE WHEN noise / 64 %% 10 = 0 THEN 'user' ELSE 'service_account' END,
           CASE WHEN n %% %(one_in)s = 1 THEN 'user:auditor@bench.example'
                ELSE 'sa:service-' || lpad((noise / 64 %% 100)::text, 3, '0') END,
           CASE WHEN n %% %(one_in)s = 2 THEN 'retired/' || n / %(one_in)s
                ELSE 'app-' || noise / 256 %% 10 || '/service-' || noise / 4096 %% 10 || '/secret-' || noise / 65536 %% 10
           END,
           ('10.0.' || noise / 1024 %% 4 || '.' || noise / 64 %% 250)::inet,
           'scaivault-python/1.0', noise / 128 %% 100 <> 0, 1.5, 'req_' || md5('r' || n), md5('t' || n), '{}'
      FROM generate_series(%(first)s::int, %(last)s::int) AS n
     CROSS JOIN LATERAL (SELECT hashint4(n) & 2147483647 AS noise) AS hashed
"""
INDEXES = """
    SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
      FROM pg_index
     WHERE indrelid = %s::regclass AND NOT indisunique
"""
# Nothing that lasts: durability is of no use to rows made of arithmetic, and the product's sessions keep theirs.
FILLING_SESSION = (
    "SET synchronous_commit = off",
    "SET session_replication_role = replica",  # foreign keys hold by construction
    "SET maintenance_work_mem = '1GB'",
    "SET work_mem = '256MB'",
    "SET timezone = 'UTC'",
)


def fill(stage: Stage, options: Options, say: Callable[[str], None]) -> None:
    """Both tenants, with statistics as autovacuum would have made them."""
    sizes = {SMALL_TENANT: (options.few, options.few), LARGE_TENANT: (options.secrets, options.audit_rows)}
    with psycopg.connect(stage.superuser_url, autocommit=True) as session:
        for statement in FILLING_SESSION:
            session.execute(statement)
        with _roomy_log(session):
            with _bare("secrets", session, say), _bare("secret_tags", session, say):
                for tenant, (secrets, _) in sizes.items():
                    _add_secrets(session, tenant, secrets, say)
            session.execute("SELECT audit_log_make_months((now() - make_interval(days => %s))::date, 4)", [DAYS])
            with _bare("audit_log", session, say):
                for tenant, (_, entries) in sizes.items():
                    _add_entries(session, tenant, entries, say)
            session.execute("VACUUM ANALYZE secrets, secret_tags, audit_log")
            say("vacuumed and analysed")
            session.execute("CHECKPOINT")


@contextmanager
def _roomy_log(session: psycopg.Connection) -> Iterator[None]:
    """No checkpoint for every gigabyte of filling."""
    session.execute("ALTER SYSTEM SET max_wal_size = '16GB'")
    session.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        session.execute("ALTER SYSTEM RESET max_wal_size")
        session.execute("SELECT pg_reload_conf()")


@contextmanager
def _bare(table: str, session: psycopg.Connection, say: Callable[[str], None]) -> Iterator[None]:
    """The table without its indexes but the first: making them afterwards takes a fraction of the time."""
    indexes = session.execute(INDEXES, [table]).fetchall()
    for name, _ in indexes:
        session.execute(f"DROP INDEX {name}")
    yield
    for name, definition in indexes:
        session.execute(definition)
        say(f"index {name}")


def _add_secrets(session: psycopg.Connection, tenant: str, count: int, say: Callable[[str], None]) -> None:
    added = session.execute(ADD_SECRETS, {"tenant": tenant, "count": count, "one_in": count // RARE}).rowcount
    if added != count:
        raise BenchFault(f"{added} secrets were added, not {count}")
    say(f"{count:,} secrets in {tenant}")
    tags = session.execute(ADD_TAGS, {"tenant": tenant}).rowcount
    say(f"{tags:,} tags of theirs")


def _add_entries(session: psycopg.Connection, tenant: str, count: int, say: Callable[[str], None]) -> None:
    now = session.execute("SELECT now()").fetchone()[0]
    fixed = {"tenant": tenant, "count": count, "one_in": count // RARE, "now": now, "span": f"{DAYS} days"}
    for first in range(1, count + 1, CHUNK):
        last = min(count, first + CHUNK - 1)
        session.execute(ADD_ENTRIES, fixed | {"first": first, "last": last})
        say(f"{last:,} audit entries in {tenant}")
