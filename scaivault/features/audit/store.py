"""The trail in PostgreSQL: a table a month, keyset order (occurred_at, id), newest first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import LiteralString, TypeVar

import psycopg

from scaivault.features.audit.model import Filters, LogEntry, Position, Tally
from scaivault.kernel.errors import Unavailable
from scaivault.storage.database import Session

Row = TypeVar("Row")

# Whatever keeps an entry out (no month, no right, no room) is an outage of the trail, hence of the vault.
_REFUSED = "The audit trail takes no entries; try again shortly."
_BEYOND_ANY_PATH = "\U0010ffff"

_COLUMNS: LiteralString = """
    tenant_id, occurred_at, id, action, identity_type, identity_id, secret_path, source_ip, user_agent, success,
    duration_ms, request_id, trace_id, extra_data
"""
# Prefixed, so that no placeholder of a look-up that is recorded in the same statement can be meant by mistake.
_BEFORE_SUCCESS: LiteralString = """
    %(journal_tenant_id)s, %(journal_occurred_at)s, %(journal_id)s, %(journal_action)s, %(journal_identity_type)s,
    %(journal_identity_id)s, %(journal_secret_path)s, %(journal_source_ip)s, %(journal_user_agent)s
"""
_AFTER_SUCCESS: LiteralString = """
    %(journal_duration_ms)s, %(journal_request_id)s, %(journal_trace_id)s, %(journal_extra_data)s
"""
_ADD: LiteralString = (
    f"INSERT INTO audit_log ({_COLUMNS}) VALUES ({_BEFORE_SUCCESS}, %(journal_success)s, {_AFTER_SUCCESS})"
)
# The second trail's row is about the same operation, and in the same statement.
_AT_HOME: LiteralString = """
    %(journal_home_tenant_id)s, %(journal_occurred_at)s, %(journal_home_id)s, %(journal_action)s,
    %(journal_identity_type)s, %(journal_identity_id)s, %(journal_secret_path)s, %(journal_source_ip)s,
    %(journal_user_agent)s
"""
_AFTER_SUCCESS_AT_HOME: LiteralString = """
    %(journal_duration_ms)s, %(journal_request_id)s, %(journal_trace_id)s, %(journal_home_extra_data)s
"""
_ADD_TO_BOTH: LiteralString = f"{_ADD}, ({_AT_HOME}, %(journal_success)s, {_AFTER_SUCCESS_AT_HOME})"
_FIND_BEFORE: LiteralString = "WITH found AS ("
_AFTER_SUCCESS_NOTING: LiteralString = """
    %(journal_duration_ms)s, %(journal_request_id)s, %(journal_trace_id)s,
    %(journal_extra_data)s::jsonb || coalesce((SELECT jsonb_build_object('version', version) FROM found), '{}')
"""
_LOGGED: LiteralString = f"""), logged AS (
    INSERT INTO audit_log ({_COLUMNS})
    SELECT {_BEFORE_SUCCESS}, EXISTS (SELECT 1 FROM found), {_AFTER_SUCCESS_NOTING}
"""
_LOGGED_AT_HOME: LiteralString = f"""), logged_at_home AS (
    INSERT INTO audit_log ({_COLUMNS})
    SELECT {_AT_HOME}, EXISTS (SELECT 1 FROM found), {_AFTER_SUCCESS_AT_HOME}::jsonb
           || coalesce((SELECT jsonb_build_object('version', version) FROM found), '{{}}')
"""
_FOUND: LiteralString = ") SELECT found.* FROM found"


def add_entry(tx: Session, fields: Mapping[str, object]) -> None:
    """Append one entry, to the trail at home too if the fields name one; Unavailable if the trail can not take it."""
    try:
        tx.run(_ADD_TO_BOTH if "journal_home_id" in fields else _ADD, **fields)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise  # the database says these in our words, and mends its pool
    except psycopg.Error as refusal:
        raise Unavailable(_REFUSED) from refusal


def find_recorded(
    session: Session,
    kind: type[Row],
    query: LiteralString,
    parameters: Mapping[str, object],
    fields: Mapping[str, object],
) -> Row | None:
    """The row of `query` as a `kind`, or None, and an entry that says which; Unavailable if it can not be added."""
    try:
        return session.one(kind, _recording(query, in_both="journal_home_id" in fields), **parameters, **fields)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise  # the database says these in our words, and mends its pool
    except psycopg.Error as refusal:
        raise Unavailable(_REFUSED) from refusal


@cache
def _recording(query: LiteralString, *, in_both: bool) -> LiteralString:
    """One string object for each look-up: psycopg finds its own notes on a statement by the string's hash."""
    return _FIND_BEFORE + query + _LOGGED + (_LOGGED_AT_HOME if in_both else "") + _FOUND


def list_entries(
    session: Session, tenant_id: str, filters: Filters, after: Position | None, limit: int
) -> list[LogEntry]:
    """At most `limit` entries beyond `after`, newest first."""
    wanted, parameters = _conditions(filters)
    if after is not None:
        wanted += _BEYOND
        parameters |= {"after_at": after.occurred_at, "after_id": after.id}
    return session.many(
        LogEntry,
        f"""
        SELECT id, occurred_at, action, identity_type, identity_id, secret_path, source_ip, user_agent, success,
               duration_ms, request_id, trace_id, extra_data
          FROM audit_log
         WHERE tenant_id = %(tenant_id)s {wanted}
         ORDER BY occurred_at DESC, id DESC
         LIMIT %(limit)s
        """,
        tenant_id=tenant_id,
        limit=limit,
        **parameters,
    )


def count_entries(session: Session, tenant_id: str, filters: Filters, most: int) -> Tally:
    """The newest `most` entries that pass the filters, added up. The bound is what keeps it from walking years."""
    wanted, parameters = _conditions(filters)
    tally = session.one(
        Tally,
        f"""
        WITH counted AS (
            SELECT occurred_at, action, success, identity_id, secret_path
              FROM audit_log
             WHERE tenant_id = %(tenant_id)s {wanted}
             ORDER BY occurred_at DESC
             LIMIT %(most)s
        ), grouped AS (  -- all groupings in one pass; of each row only its own grouping's columns are set
            SELECT action, success, identity_id, secret_path, count(*) AS events, min(occurred_at) AS since
              FROM counted
             GROUP BY GROUPING SETS ((action, success), (identity_id), (secret_path))
        ), by_action AS (
            SELECT action, sum(events) AS events
              FROM grouped
             WHERE action IS NOT NULL
             GROUP BY action
        )
        SELECT coalesce(sum(events) FILTER (WHERE action IS NOT NULL), 0)::bigint AS total_events,
               coalesce(sum(events) FILTER (WHERE success), 0)::bigint AS successful_events,
               count(identity_id) AS unique_identities,
               count(secret_path) AS unique_secrets,
               coalesce((SELECT jsonb_object_agg(action, events) FROM by_action), '{{}}') AS by_action,
               min(since) AS counted_since
          FROM grouped
        """,
        tenant_id=tenant_id,
        most=most,
        **parameters,
    )
    if tally is None:
        raise RuntimeError("an aggregate is always one row")
    return tally


def add_months(session: Session, first_month: date, how_many: int) -> int:
    """Make the tables that are missing of `how_many` months; how many were."""
    made = session.one(
        _Made,
        "SELECT audit_log_make_months(%(first_month)s, %(how_many)s) AS months",
        first_month=first_month,
        how_many=how_many,
    )
    return made.months if made else 0


def has_next_month(session: Session) -> bool:
    """Whether there is a table for the entries of the month to come."""
    found = session.one(
        _Found,
        """
        SELECT to_regclass('audit_log_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM'))
               IS NOT NULL AS found
        """,
    )
    return found is not None and found.found


@dataclass(frozen=True, slots=True)
class _Made:
    months: int


@dataclass(frozen=True, slots=True)
class _Found:
    found: bool


# The WHERE clause is put together from the filters that are set, and from them only: one literal with
# `(x IS NULL OR column = x)` for each would be prepared once and planned for nothing in particular.
_BEYOND: LiteralString = """
   AND (occurred_at, id) < (%(after_at)s, %(after_id)s)
   AND occurred_at <= %(after_at)s  -- says the same again, for partition pruning, which can not read rows"""

_CONDITIONS: Mapping[str, LiteralString] = {
    "since": " AND occurred_at >= %(since)s",
    "until": " AND occurred_at < %(until)s",
    "actions": " AND action = ANY(%(actions)s)",
    "identity_id": " AND identity_id = %(identity_id)s",
    "identity_type": " AND identity_type = %(identity_type)s",
    "secret_path": " AND secret_path = %(secret_path)s",
    "path_prefix": " AND secret_path >= %(path_prefix)s AND secret_path < %(path_beyond)s",
    "source_ip": " AND source_ip = %(source_ip)s",
    "request_id": " AND request_id = %(request_id)s",
}


def _conditions(filters: Filters) -> tuple[LiteralString, dict[str, object]]:
    parameters: dict[str, object] = {}
    wanted: LiteralString = ""
    for name, condition in _CONDITIONS.items():
        if (value := getattr(filters, name)) is not None:
            wanted += condition
            parameters[name] = list(value) if isinstance(value, tuple) else value  # psycopg makes arrays of lists
    if filters.path_prefix is not None:
        parameters["path_beyond"] = filters.path_prefix + _BEYOND_ANY_PATH
    if filters.success is not None:
        # Spelt out: an unknown `success = $1` could not be planned for the index on what failed.
        wanted += " AND success" if filters.success else " AND NOT success"
    return wanted, parameters
