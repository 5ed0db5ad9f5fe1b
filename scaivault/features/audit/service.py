"""Keeping the trail, and asking it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import LiteralString, TypeVar

from scaivault.features.audit import store
from scaivault.features.audit.model import Filters, Position, Slice, Summary, Trail
from scaivault.kernel.caller import Caller, Principal, Scope
from scaivault.kernel.errors import Conflict, NotFound, VaultError
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action, Entry, Extra
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.ports import Clock, Guard
from scaivault.storage.database import Database, Session
from scaivault.storage.errors import refusing

Row = TypeVar("Row")

MONTHS_AHEAD = 6
MAX_USER_AGENT = 256
SUMMARY_WINDOW = timedelta(hours=24)
TRAIL_WINDOW = timedelta(days=30)
MOST_SUMMARISED = 1_000_000  # about a second
MOST_SUMMARISED_OF_A_TRAIL = 50_000

_UNPRINTABLE = "\ufffd"
_encode = json.JSONEncoder(separators=(",", ":")).encode


class AuditJournal:
    """The audit trail behind the Journal port.

    What is done in a partner's shared space is in two: the space's, and that of the caller's own tenant.
    `observe_append` is told action, success and seconds of every entry written; of one in a transaction before that
    commits, so an entry that is rolled back with its operation has been counted.
    """

    def __init__(self, database: Database, clock: Clock, observe_append: Callable[[str, bool, float], None]) -> None:
        self._database = database
        self._clock = clock
        self._observe = observe_append
        self.last_append_seconds: float | None = None

    @contextmanager
    def operation(
        self,
        action: Action,
        caller: Caller,
        path: SecretPath | None = None,
        *,
        refusals: Mapping[str, type[VaultError]] | None = None,
    ) -> Iterator[Session]:
        """A transaction for one operation, which records its own success in it.

        If the state of its object refuses it, by a constraint or before, that is an entry of its own: it happened, and
        changed nothing.
        """
        try:
            with refusing(refusals or {}), self._database.transaction() as tx:
                yield tx
        except (NotFound, Conflict) as refusal:
            self.record_alone(Entry.of(action, caller, path, success=False, reason=refusal.code))
            raise

    def record(self, tx: Session, entry: Entry) -> None:
        """Add the entry to the caller's transaction: it commits with what it tells of, or not at all."""
        started = time.perf_counter()
        store.add_entry(tx, self._fields(entry) | {"journal_success": entry.success})
        self._told(entry.action, entry.success, started)

    def record_alone(self, entry: Entry) -> None:
        """Add the entry in a transaction of its own. It is durable when this returns."""
        with self._database.session() as session:
            self.record(session, entry)

    def find(self, kind: type[Row], query: LiteralString, parameters: Mapping[str, object], entry: Entry) -> Row | None:
        """Run a look-up and record it in one durable statement, `success` meaning that a row was found.

        No answer leaves before its entry is durable, in one round trip: outside a transaction block the statement is
        the transaction. PostgreSQL streams the row before it commits, but says that it is ready for the next query
        only after the commit record is on disk, and psycopg gives nothing back until it has heard that. If the commit
        fails or the connection is lost first, an exception comes instead of the row.
        """
        started = time.perf_counter()
        with self._database.session() as session:
            row = store.find_recorded(session, kind, query, parameters, self._fields(entry))
        self._told(entry.action, row is not None, started)
        return row

    def _told(self, action: Action, success: bool, started: float) -> None:
        self.last_append_seconds = time.perf_counter() - started
        self._observe(action.value, success, self.last_append_seconds)

    def _fields(self, entry: Entry) -> dict[str, object]:
        caller = entry.caller
        principal, origin = caller.principal, caller.origin
        fields = {
            "journal_tenant_id": principal.tenant_id,
            "journal_occurred_at": self._clock.now(),
            "journal_id": new_id("log"),
            "journal_action": entry.action.value,
            "journal_identity_type": principal.identity_type.value,
            "journal_identity_id": principal.identity_id,
            "journal_secret_path": entry.path,
            "journal_source_ip": str(origin.source_ip).partition("%")[0],  # PostgreSQL knows no IPv6 zones
            "journal_user_agent": _printable(origin.user_agent[:MAX_USER_AGENT]),
            "journal_duration_ms": entry.duration_ms,
            "journal_request_id": origin.request_id,
            "journal_trace_id": origin.trace_id,
            "journal_extra_data": _extra_data(entry),
        }
        if principal.home is not None and principal.is_in_shared_space:
            fields |= _fields_at_home(principal.home, entry)
        return fields


def _fields_at_home(home: Principal, entry: Entry) -> dict[str, object]:
    """What another is in the second row, of one who uses what his partner shares: his own tenant must see it too."""
    extra = {name: value for name, value in entry.extra.items() if name != "home_tenant_id"}
    there = replace(entry, extra={**extra, "shared_space": entry.caller.tenant_id})
    return {
        "journal_home_tenant_id": home.tenant_id,
        "journal_home_id": new_id("log"),
        "journal_home_extra_data": _extra_data(there),
    }


def _printable(text: str) -> str:
    """No control character may break a reader's terminal, no NUL or lone surrogate keep the entry out."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _UNPRINTABLE for character in text)


def _extra_data(entry: Entry) -> str:
    """The entry's own fields; for a delegated token, also who acted in its identity's name, and by which token."""
    principal = entry.caller.principal
    if principal.delegated_by:
        acting: dict[str, Extra] = {"delegated_by": list(principal.delegated_by), "acting_token_id": principal.token_id}
        return _json({**entry.extra, **acting})
    return _json(entry.extra) if entry.extra else "{}"


def _json(extra: Mapping[str, Extra]) -> str:
    return _encode({name: _plain(value) for name, value in extra.items()})


def _plain(value: Extra) -> object:
    return [_scalar(item) for item in value] if isinstance(value, list) else _scalar(value)


def _scalar(value: object) -> object:
    """Only what Extra allows gets through, whatever the type checker was told: no object is ever rendered."""
    if isinstance(value, str):
        return _printable(value)
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"an audit entry has no place for a {type(value).__name__}")


class AuditService:
    """Questions to the trail. They need the scope audit:read; asking leaves no entry, being refused does."""

    def __init__(self, database: Database, guard: Guard, clock: Clock) -> None:
        self._database = database
        self._guard = guard
        self._clock = clock

    def logs(self, caller: Caller, filters: Filters, after: Position | None, limit: int) -> Slice:
        """The tenant's entries that pass the filters, newest first."""
        self._guard.require_scope(caller, Scope.AUDIT_READ)
        with self._database.session() as session:
            return _slice(session, caller.tenant_id, filters, after, limit)

    def of_secret(self, caller: Caller, path: SecretPath, window: Filters, after: Position | None, limit: int) -> Trail:
        """What happened to one path, also to one that is gone or never was, and the sum of its last 30 days."""
        return self._trail(caller, replace(window, secret_path=path), Filters(secret_path=path), after, limit)

    def of_identity(
        self, caller: Caller, identity_id: str, window: Filters, after: Position | None, limit: int
    ) -> Trail:
        """What one identity did, and the sum of its last 30 days."""
        return self._trail(
            caller, replace(window, identity_id=identity_id), Filters(identity_id=identity_id), after, limit
        )

    def summary(self, caller: Caller, since: datetime | None, until: datetime | None) -> Summary:
        """The tenant's entries in numbers: since `since`, or in the 24 hours before `until` or now."""
        self._guard.require_scope(caller, Scope.AUDIT_READ)
        end = until or self._clock.now()
        filters = Filters(since=since or _before(end, SUMMARY_WINDOW), until=until)
        with self._database.session() as session:
            return _summary(session, caller.tenant_id, filters, end, MOST_SUMMARISED)

    def _trail(self, caller: Caller, filters: Filters, subject: Filters, after: Position | None, limit: int) -> Trail:
        self._guard.require_scope(caller, Scope.AUDIT_READ)
        now = self._clock.now()
        recent = replace(subject, since=now - TRAIL_WINDOW)
        with self._database.session() as session:
            return Trail(
                _slice(session, caller.tenant_id, filters, after, limit),
                _summary(session, caller.tenant_id, recent, now, MOST_SUMMARISED_OF_A_TRAIL),
            )


def make_months_ahead(database: Database, clock: Clock) -> int:
    """See to it that the tables of this month and the next six exist; how many were made."""
    with database.session() as session:
        return store.add_months(session, clock.now().date(), 1 + MONTHS_AHEAD)


def has_next_month(database: Database) -> bool:
    """Whether next month's entries have a table. On whichever database is said: it is asked about health too."""
    with database.session() as session:
        return store.has_next_month(session)


def _slice(session: Session, tenant_id: str, filters: Filters, after: Position | None, limit: int) -> Slice:
    entries = store.list_entries(session, tenant_id, filters, after, limit + 1)
    if len(entries) <= limit:
        return Slice(entries, None)
    last = entries[limit - 1]
    return Slice(entries[:limit], Position(last.occurred_at, last.id))


def _summary(session: Session, tenant_id: str, filters: Filters, until: datetime, most: int) -> Summary:
    tally = store.count_entries(session, tenant_id, filters, most)
    start = filters.since or until
    if tally.total_events < most or tally.counted_since is None:
        return Summary(start, until, is_complete=True, tally=tally)
    return Summary(tally.counted_since, until, is_complete=False, tally=tally)


def _before(instant: datetime, span: timedelta) -> datetime:
    try:
        return instant - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
