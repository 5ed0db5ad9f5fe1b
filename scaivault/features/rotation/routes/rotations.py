"""Secrets under rotation policies: which, when, and what became of them; and a secret's own `:rotate`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route
from scaivault.features.generators.errors import SecretPolicyInactive, SecretPolicyNotFound
from scaivault.features.rotation import errors
from scaivault.features.rotation.routes import messages as m
from scaivault.features.rotation.routes.policies import ONE
from scaivault.features.rotation.service.policies import RotationPolicyService
from scaivault.features.rotation.service.rotations import RotationService
from scaivault.features.secrets.errors import SecretNotFound, VersionConflict
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidPath, IpNotAllowed, MfaRequired, TimeWindowViolation
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.paths import parse_path

# RFC 9745: since when /v1/rotation/pending is another name only.
DEPRECATED_SINCE = "@1767225600"
_CONDITIONS = (IpNotAllowed, MfaRequired, TimeWindowViolation)


class RotationRoutes:
    def __init__(self, policies: RotationPolicyService, rotations: RotationService, cursors: Cursors) -> None:
        self._policies = policies
        self._rotations = rotations
        self._cursors = cursors

    def assign(self, caller: Caller, rotation_policy_id: str, body: m.AssignmentBody) -> m.SecretAssignment:
        return m.SecretAssignment.of(self._policies.assign(caller, rotation_policy_id, parse_path(body.secret_path)))

    def secrets(self, caller: Caller, rotation_policy_id: str, query: m.AssignmentQuery) -> m.AssignmentPage:
        bound_to = ("rotation_secrets", caller.tenant_id, rotation_policy_id)
        found = partial(self._policies.list_secrets, caller, rotation_policy_id)
        piece = self._cursors.piece(query, bound_to, found, lambda each: each.path)
        secrets = [m.SecretAssignment.of(each) for each in piece.items]
        return m.AssignmentPage(secrets=secrets, cursor=piece.cursor, has_more=piece.has_more)

    def unassign(self, caller: Caller, rotation_policy_id: str, path: str) -> Answer:
        self._policies.unassign(caller, rotation_policy_id, parse_path(path))
        return Answer(None, 204)

    def rotate_all(self, caller: Caller, rotation_policy_id: str, body: m.RotateAllBody) -> Answer:
        paths = None if body.secret_paths is None else [parse_path(each) for each in body.secret_paths]
        items = self._rotations.rotate_all(caller, rotation_policy_id, paths)
        return Answer(None, body=m.HistoryItems([m.HistoryItem.of(item) for item in items]).model_dump_json().encode())

    def history(self, caller: Caller, rotation_policy_id: str, query: m.HistoryQuery) -> m.HistoryPage:
        bound_to = ("rotation_history", caller.tenant_id, rotation_policy_id, str(query.status))
        found = partial(self._policies.history, caller, rotation_policy_id, query.status)
        piece = self._cursors.piece(query, bound_to, found, lambda item: item.id)
        history = [m.HistoryItem.of(item) for item in piece.items]
        return m.HistoryPage(history=history, cursor=piece.cursor, has_more=piece.has_more)

    def due(self, caller: Caller, query: m.DueQuery) -> m.AssignmentPage:
        bound_to = (
            "rotation_due",
            caller.tenant_id,
            str(query.within_hours),
            str(query.include_overdue),
            query.policy_id or "",
        )
        position = self._cursors.open(query.cursor, bound_to)
        page = self._rotations.list_due(
            caller,
            timedelta(hours=query.within_hours),
            include_overdue=query.include_overdue,
            policy_id=query.policy_id,
            after=None if position is None else (datetime.fromisoformat(position[0]), position[1]),
            limit=query.limit,
        )
        after = page.next_after
        cursor = None if after is None else self._cursors.seal((after[0].isoformat(), after[1]), bound_to)
        return m.AssignmentPage(
            secrets=[m.SecretAssignment.of(each) for each in page.secrets], cursor=cursor, has_more=cursor is not None
        )

    def pending(self, caller: Caller, query: m.DueQuery) -> Answer:
        """`due` by its old name."""
        headers = {"Deprecation": DEPRECATED_SINCE, "Link": '</v1/rotation/due>; rel="successor-version"'}
        return Answer(self.due(caller, query), headers=headers)

    def rotate(self, caller: Caller, path: str, if_match: int | None) -> Answer:
        written = self._rotations.rotate(caller, parse_path(path), if_match)
        reply = m.RotatedReply(path=written.path, version=written.version, created_at=written.created_at)
        return Answer(reply, headers={"ETag": f'"{written.version}"'})


def rotation_table(policies: RotationPolicyService, rotations: RotationService, cursors: Cursors) -> Sequence[Route]:
    at = RotationRoutes(policies, rotations, cursors)
    return (*_secrets(at), *_due(at))


def _secrets(at: RotationRoutes) -> tuple[Route, ...]:
    there = (errors.RotationPolicyNotFound, SecretNotFound, InvalidPath, *_CONDITIONS)
    return (
        Route(
            "POST",
            f"{ONE}/secrets",
            at.assign,
            "Put a secret under a rotation policy; it counts from now",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            body=m.AssignmentBody,
            reply=m.SecretAssignment,
            status=201,
            errors=there,
        ),
        Route(
            "GET",
            f"{ONE}/secrets",
            at.secrets,
            "List what is under a rotation policy",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            query=m.AssignmentQuery,
            reply=m.AssignmentPage,
            errors=(errors.RotationPolicyNotFound, InvalidCursor),
        ),
        Route(
            "DELETE",
            f"{ONE}/secrets/<secret:path>",
            at.unassign,
            "Take a secret from under a rotation policy",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            status=204,
            slashes_may_be_encoded=True,
            errors=(*there, errors.AssignmentNotFound),
        ),
        Route(
            "POST",
            f"{ONE}/rotate",
            at.rotate_all,
            "Renew a rotation policy's secrets now",
            scope=Scope.SECRETS_ROTATE,
            limit=RateCategory.WRITE,
            body=m.RotateAllBody,
            body_is_optional=True,
            reply=m.HistoryItems,
            errors=(*there, errors.AssignmentNotFound, errors.TooManySecrets),
        ),
        Route(
            "GET",
            f"{ONE}/history",
            at.history,
            "What became of a rotation policy's rotations, newest first",
            scope=Scope.AUDIT_READ,
            limit=RateCategory.AUDIT_QUERY,
            query=m.HistoryQuery,
            reply=m.HistoryPage,
            errors=(errors.RotationPolicyNotFound, InvalidCursor),
        ),
        Route(
            "POST",
            "/v1/secrets/<secret:path>:rotate",
            at.rotate,
            "Write a generated value as a secret's next version",
            scope=Scope.SECRETS_ROTATE,
            limit=RateCategory.WRITE,
            reply=m.RotatedReply,
            takes_if_match=True,
            category="secrets",
            errors=(
                SecretNotFound,
                InvalidPath,
                VersionConflict,
                errors.NoSecretPolicy,
                SecretPolicyInactive,
                SecretPolicyNotFound,
                *_CONDITIONS,
            ),
        ),
    )


def _due(at: RotationRoutes) -> tuple[Route, ...]:
    due = Route(
        "GET",
        "/v1/rotation/due",
        at.due,
        "Secrets that are due for rotation: an administrator's all, else those the caller may rotate",
        limit=RateCategory.LIST,
        query=m.DueQuery,
        reply=m.AssignmentPage,
        errors=(errors.RotationPolicyNotFound, InvalidCursor),
    )
    return (
        due,
        replace(due, rule="/v1/rotation/pending", view=at.pending, summary="Deprecated: another name of due"),
    )
