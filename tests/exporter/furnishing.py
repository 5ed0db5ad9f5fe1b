"""Rows to look at, put there by SQL."""

import psycopg


def run(url, statement, *parameters):
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def add_tenants(url, *tenants):
    run(url, "INSERT INTO partners (id, name) VALUES ('ptn_x', 'X') ON CONFLICT DO NOTHING")
    run(
        url,
        "INSERT INTO tenants (id, partner_id, name) SELECT id, 'ptn_x', id FROM unnest(%s::text[]) AS id",
        [*tenants],
    )


def add_secrets(url, tenant, count, first=1):
    run(
        url,
        """
        INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at)
        SELECT %s, 'p' || n, 'kv', 1, '{}', 10, now(), now() FROM generate_series(%s::int, %s::int) AS n
        """,
        tenant,
        first,
        first + count - 1,
    )


def add_reads(url, tenant, identity, count, ago_seconds=60, action="read", success=True, extra="{}"):
    run(
        url,
        """
        INSERT INTO audit_log (tenant_id, occurred_at, id, action, identity_type, identity_id, source_ip, user_agent,
                               success, duration_ms, request_id, trace_id, extra_data)
        SELECT %s, now() - make_interval(secs => %s), gen_random_uuid()::text, %s, 'user', %s, '::1', '', %s, 1, 'r',
               't', %s
          FROM generate_series(1, %s)
        """,
        tenant,
        ago_seconds,
        action,
        identity,
        success,
        extra,
        count,
    )
