"""The floor: what a bare Flask application does under the same gunicorn on the same database, and nothing else.

No token, no policy, no key, no checks, no metrics, no log: a SELECT and an audit row in one statement, or three INSERTs
in one transaction, each as durable as ours.
"""

from uuid import uuid4

from flask import Flask, request
from psycopg_pool import ConnectionPool

from scaivault.settings import Settings

READ = """
    WITH found AS (
        SELECT path, version, sealed
          FROM secret_versions
         WHERE tenant_id = 'tnt_bench' AND path = %(path)s AND version = 1
    ), logged AS (
        INSERT INTO audit_log (tenant_id, occurred_at, id, action, identity_type, identity_id, secret_path, source_ip,
                               user_agent, success, duration_ms, request_id, trace_id, extra_data)
        SELECT 'tnt_floor', now(), %(id)s, 'read', 'user', 'user:floor@bench.example', %(path)s, '127.0.0.1',
               'scaivault-bench/1.0', EXISTS (SELECT 1 FROM found), 1.0, %(id)s, %(id)s, '{}'
    ) SELECT path, version, sealed FROM found
"""
ADD_SECRET = """
    INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at, updated_at)
    VALUES ('tnt_floor', %(path)s, 'kv', 1, '{}', 10, now(), now())
"""
ADD_VERSION = """
    INSERT INTO secret_versions (tenant_id, path, version, sealed, wrapped_key, created_at, created_by)
    VALUES ('tnt_floor', %(path)s, 1, %(sealed)s, %(wrapped_key)s, now(), 'user:floor@bench.example')
"""
ADD_ENTRY = """
    INSERT INTO audit_log (tenant_id, occurred_at, id, action, identity_type, identity_id, secret_path, source_ip,
                           user_agent, success, duration_ms, request_id, trace_id, extra_data)
    VALUES ('tnt_floor', now(), %(id)s, 'write', 'user', 'user:floor@bench.example', %(path)s, '127.0.0.1',
            'scaivault-bench/1.0', true, 1.0, %(id)s, %(id)s, '{}')
"""
# As long as ours, and of a key that is there: the foreign key is the floor's too.
WRAPPED_KEY = b"SV\x01\x02" + (1).to_bytes(4, "big") + bytes(60)

settings = Settings.from_env()
pool = ConnectionPool(
    settings.database_url.get_secret_value(),
    kwargs={"autocommit": True},
    min_size=1,
    max_size=settings.database_pool_size,
    open=True,
)
app = Flask("floor")


@app.get("/v1/secrets/<path:path>")
def read(path: str) -> dict[str, object]:
    with pool.connection() as connection:
        row = connection.execute(READ, {"path": path, "id": uuid4().hex}).fetchone()
    return {"path": row[0], "version": row[1], "sealed": row[2].hex()}


@app.put("/v1/secrets/<path:path>")
def write(path: str) -> tuple[dict[str, object], int]:
    with pool.connection() as connection, connection.transaction():
        connection.execute(ADD_SECRET, {"path": path})
        connection.execute(ADD_VERSION, {"path": path, "sealed": request.get_data(), "wrapped_key": WRAPPED_KEY})
        connection.execute(ADD_ENTRY, {"path": path, "id": uuid4().hex})
    return {"path": path, "version": 1}, 201
