"""Questions to the trail over HTTP."""

from datetime import datetime
from typing import Any

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Route, Routes
from scaivault.features.audit.model import Filters, Position, Slice, Trail
from scaivault.features.audit.routes.messages import (
    EntryReply,
    LogsQuery,
    LogsReply,
    SummaryReply,
    TrailQuery,
    TrailReply,
    WindowQuery,
)
from scaivault.features.audit.service import AuditService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidPath, InvalidRequest
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.paths import parse_path


class _Views:
    def __init__(self, service: AuditService, cursors: Cursors) -> None:
        self._service = service
        self._cursors = cursors

    def logs(self, *, caller: Caller, query: LogsQuery) -> LogsReply:
        bound = _bound("logs", caller, "", query)
        piece = self._service.logs(caller, _filters(query), self._after(query, bound), query.limit)
        return LogsReply(**self._page(piece, bound))

    def of_secret(self, *, caller: Caller, path: str, query: TrailQuery) -> TrailReply:
        address = parse_path(path)
        bound = _bound("secret", caller, address, query)
        after = self._after(query, bound)
        trail = self._service.of_secret(caller, address, _window(query), after, query.limit)
        return self._trail(trail, bound)

    def of_identity(self, *, caller: Caller, identity_id: str, query: TrailQuery) -> TrailReply:
        if not identity_id.isprintable():
            raise InvalidRequest("An identity's id has no control characters.")
        bound = _bound("identity", caller, identity_id, query)
        after = self._after(query, bound)
        trail = self._service.of_identity(caller, identity_id, _window(query), after, query.limit)
        return self._trail(trail, bound)

    def summary(self, *, caller: Caller, query: WindowQuery) -> SummaryReply:
        return SummaryReply.of(self._service.summary(caller, query.since, query.until))

    def _trail(self, trail: Trail, bound: tuple[str, ...]) -> TrailReply:
        return TrailReply(**self._page(trail.slice, bound), summary=SummaryReply.of(trail.summary))

    def _page(self, piece: Slice, bound: tuple[str, ...]) -> dict[str, Any]:
        cursor = piece.next and self._cursors.seal((piece.next.occurred_at.isoformat(), piece.next.id), bound)
        return {
            "logs": [EntryReply.of(entry) for entry in piece.entries],
            "cursor": cursor,
            "has_more": cursor is not None,
        }

    def _after(self, query: TrailQuery, bound: tuple[str, ...]) -> Position | None:
        place = self._cursors.open(query.cursor, bound)
        if place is None:
            return None
        try:
            instant, identifier = place
            return Position(datetime.fromisoformat(instant), identifier)
        except ValueError:
            raise InvalidCursor from None


def _bound(view: str, caller: Caller, subject: str, query: TrailQuery) -> tuple[str, ...]:
    """What a cursor is good for: this view of this tenant under these filters, in pieces of any size."""
    return ("audit", view, caller.tenant_id, subject, query.model_dump_json(exclude={"limit", "cursor"}))


def _filters(query: LogsQuery) -> Filters:
    return Filters(
        since=query.since,
        until=query.until,
        actions=query.action,
        identity_id=query.identity_id,
        identity_type=query.identity_type and query.identity_type.value,
        path_prefix=query.path_prefix,
        success=query.success,
        source_ip=query.source_ip,
        request_id=query.request_id,
    )


def _window(query: TrailQuery) -> Filters:
    return Filters(since=query.since, until=query.until)


def routes(service: AuditService, cursors: Cursors) -> Routes:
    views = _Views(service, cursors)
    read = Scope.AUDIT_READ
    return Routes(
        "audit",
        "audit",
        (
            Route(
                "GET",
                "/v1/audit/logs",
                views.logs,
                "The tenant's audit entries, newest first.",
                scope=read,
                query=LogsQuery,
                reply=LogsReply,
                errors=(InvalidCursor, InvalidPath),
                limit=RateCategory.AUDIT_QUERY,
            ),
            Route(
                "GET",
                "/v1/audit/secrets/<secret:path>",
                views.of_secret,
                "What happened to one secret, and the sum of its last 30 days.",
                scope=read,
                query=TrailQuery,
                reply=TrailReply,
                errors=(InvalidCursor, InvalidPath),
                limit=RateCategory.AUDIT_QUERY,
            ),
            Route(
                "GET",
                "/v1/audit/identities/<identity_id>",
                views.of_identity,
                "What one identity did, and the sum of its last 30 days.",
                scope=read,
                query=TrailQuery,
                reply=TrailReply,
                errors=(InvalidCursor, InvalidRequest),
                limit=RateCategory.AUDIT_QUERY,
            ),
            Route(
                "GET",
                "/v1/audit/summary",
                views.summary,
                "The trail in numbers; of the last 24 hours unless `from` says otherwise.",
                scope=read,
                query=WindowQuery,
                reply=SummaryReply,
                limit=RateCategory.AUDIT_QUERY,
            ),
        ),
    )
