"""The views of `/v1/policies` and their addresses."""

from scaivault.edge.messages import Page
from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.policies import errors
from scaivault.features.policies.model.policies import Wanted, parse_subject
from scaivault.features.policies.routes import messages as m
from scaivault.features.policies.routes import rendering
from scaivault.features.policies.service.policies import PolicyService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration, InvalidGlob, InvalidPath, VaultError
from scaivault.kernel.limits import RateCategory

_RULES_AT_FAULT: tuple[type[VaultError], ...] = (errors.InvalidPolicy, InvalidGlob, InvalidDuration)


class PolicyRoutes:
    """Parse, call, render."""

    def __init__(self, service: PolicyService, cursors: Cursors) -> None:
        self._service = service
        self._cursors = cursors

    def list(self, caller: Caller, query: m.PolicyQuery) -> m.PolicyPage:
        bound_to = ("policies", caller.tenant_id, query.scope, str(query.include_inactive))
        after = self._after(query, bound_to)
        found = self._service.list(caller, Wanted(query.scope, query.include_inactive), after=after, limit=query.limit)
        cursor = self._cursors.seal((found.items[-1].name,), bound_to) if found.has_more else None
        rows = [rendering.summary(row) for row in found.items]
        return m.PolicyPage(policies=rows, cursor=cursor, has_more=found.has_more)

    def create(self, caller: Caller, body: m.PolicyBody) -> Answer:
        return rendering.policy(self._service.create(caller, rendering.draft(body)), 201)

    def read(self, caller: Caller, policy_id: str) -> Answer:
        return rendering.policy(self._service.read(caller, policy_id))

    def replace(self, caller: Caller, policy_id: str, body: m.PolicyBody, if_match: int | None) -> Answer:
        draft = rendering.draft(body)
        return rendering.policy(self._service.replace(caller, policy_id, draft, expected=if_match))

    def change(self, caller: Caller, policy_id: str, body: m.PolicyPatch, if_match: int | None) -> Answer:
        changes = rendering.changes(body)
        return rendering.policy(self._service.change(caller, policy_id, changes, expected=if_match))

    def delete(self, caller: Caller, policy_id: str, query: m.DeleteQuery, if_match: int | None) -> Answer:
        self._service.delete(caller, policy_id, force=query.force, expected=if_match)
        return Answer(None, 204)

    def list_bindings(self, caller: Caller, policy_id: str, query: Page) -> m.BindingPage:
        bound_to = ("policy_bindings", caller.tenant_id, policy_id)
        found = self._service.bindings(caller, policy_id, after=self._after(query, bound_to), limit=query.limit)
        cursor = self._cursors.seal((found.items[-1].id,), bound_to) if found.has_more else None
        rows = [rendering.binding(row) for row in found.items]
        return m.BindingPage(bindings=rows, cursor=cursor, has_more=found.has_more)

    def bind(self, caller: Caller, policy_id: str, body: m.BindingBody) -> Answer:
        subject = parse_subject(body.identity_type, body.identity_id)
        return Answer(rendering.binding(self._service.bind(caller, policy_id, subject, body.expires_at)), 201)

    def unbind(self, caller: Caller, policy_id: str, binding_id: str) -> Answer:
        self._service.unbind(caller, policy_id, binding_id)
        return Answer(None, 204)

    def test(self, caller: Caller, body: m.TrialBody) -> m.TrialResult:
        return rendering.trial_result(self._service.test(caller, rendering.trial(body)))

    def _after(self, query: Page, bound_to: tuple[str, ...]) -> str | None:
        position = self._cursors.open(query.cursor, bound_to)
        return None if position is None else position[0]


def routes(service: PolicyService, cursors: Cursors) -> Routes:
    at = PolicyRoutes(service, cursors)
    return Routes("policies", "policies", (*_collection(at), *_single(at), *_bindings(at)))


def _collection(at: PolicyRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/policies",
            at.list,
            "List policies",
            scope=Scope.POLICIES_READ,
            query=m.PolicyQuery,
            reply=m.PolicyPage,
            errors=(InvalidCursor,),
            limit=RateCategory.POLICY,
        ),
        Route(
            "POST",
            "/v1/policies",
            at.create,
            "Make a policy",
            scope=Scope.POLICIES_WRITE,
            body=m.PolicyBody,
            reply=m.Policy,
            status=201,
            errors=(*_RULES_AT_FAULT, errors.PolicyExists),
            limit=RateCategory.POLICY,
        ),
        Route(
            "POST",
            "/v1/policies/test",
            at.test,
            "Try out what an identity's policies say",
            scope=Scope.POLICIES_READ,
            body=m.TrialBody,
            reply=m.TrialResult,
            errors=(InvalidPath, errors.InvalidPolicy),
            limit=RateCategory.POLICY_TEST,
        ),
    )


def _single(at: PolicyRoutes) -> tuple[Route, ...]:
    one = "/v1/policies/<policy_id>"
    writing = (*_RULES_AT_FAULT, errors.PolicyNotFound, errors.PolicyExists, errors.RevisionConflict)
    return (
        Route(
            "GET",
            one,
            at.read,
            "Read a policy with its rules and bindings",
            scope=Scope.POLICIES_READ,
            reply=m.Policy,
            errors=(errors.PolicyNotFound,),
            limit=RateCategory.POLICY,
        ),
        Route(
            "PUT",
            one,
            at.replace,
            "Replace all of a policy but its bindings",
            scope=Scope.POLICIES_WRITE,
            body=m.PolicyBody,
            reply=m.Policy,
            takes_if_match=True,
            errors=writing,
            limit=RateCategory.POLICY,
        ),
        Route(
            "PATCH",
            one,
            at.change,
            "Change parts of a policy",
            scope=Scope.POLICIES_WRITE,
            body=m.PolicyPatch,
            reply=m.Policy,
            takes_if_match=True,
            errors=writing,
            limit=RateCategory.POLICY,
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a policy",
            scope=Scope.POLICIES_WRITE,
            query=m.DeleteQuery,
            status=204,
            takes_if_match=True,
            errors=(errors.PolicyNotFound, errors.PolicyInUse, errors.RevisionConflict),
            limit=RateCategory.POLICY,
        ),
    )


def _bindings(at: PolicyRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/policies/<policy_id>/bindings",
            at.list_bindings,
            "List whom a policy is bound to",
            scope=Scope.POLICIES_READ,
            query=Page,
            reply=m.BindingPage,
            errors=(errors.PolicyNotFound, InvalidCursor),
            limit=RateCategory.POLICY,
        ),
        Route(
            "POST",
            "/v1/policies/<policy_id>/bindings",
            at.bind,
            "Bind a policy to an identity or a group",
            scope=Scope.POLICIES_WRITE,
            body=m.BindingBody,
            reply=m.Binding,
            status=201,
            errors=(errors.PolicyNotFound, errors.InvalidPolicy, errors.BindingExists),
            limit=RateCategory.POLICY,
        ),
        Route(
            "DELETE",
            "/v1/policies/<policy_id>/bindings/<binding_id>",
            at.unbind,
            "Unbind a policy",
            scope=Scope.POLICIES_WRITE,
            status=204,
            errors=(errors.PolicyNotFound, errors.BindingNotFound),
            limit=RateCategory.POLICY,
        ),
    )
