"""The views of `/v1/secret-policies` and their addresses."""

import json

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route, Routes
from scaivault.features.generators import errors
from scaivault.features.generators.model.policies import SecretPolicy
from scaivault.features.generators.routes import messages as m
from scaivault.features.generators.service.policies import SecretPolicyService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor
from scaivault.kernel.limits import RateCategory
from scaivault.kernel.plaintext import Plaintext


class SecretPolicyRoutes:
    """Parse, call, render."""

    def __init__(self, service: SecretPolicyService, cursors: Cursors) -> None:
        self._service = service
        self._cursors = cursors

    def list(self, caller: Caller, query: m.SecretPolicyQuery) -> m.SecretPolicyPage:
        bound_to = ("secret_policies", caller.tenant_id, str(query.include_inactive))
        position = self._cursors.open(query.cursor, bound_to)
        found = self._service.list(
            caller,
            include_inactive=query.include_inactive,
            after=None if position is None else position[0],
            limit=query.limit,
        )
        cursor = self._cursors.seal((found.policies[-1].name,), bound_to) if found.has_more else None
        shown = [m.SecretPolicy.of(policy) for policy in found.policies]
        return m.SecretPolicyPage(secret_policies=shown, cursor=cursor, has_more=found.has_more)

    def create(self, caller: Caller, body: m.SecretPolicyBody) -> Answer:
        return _policy(self._service.create(caller, body.to_model()), 201)

    def read(self, caller: Caller, secret_policy_id: str) -> Answer:
        return _policy(self._service.read(caller, secret_policy_id))

    def replace(self, caller: Caller, secret_policy_id: str, body: m.SecretPolicyBody, if_match: int | None) -> Answer:
        return _policy(self._service.replace(caller, secret_policy_id, body.to_model(), expected=if_match))

    def change(self, caller: Caller, secret_policy_id: str, body: m.SecretPolicyPatch, if_match: int | None) -> Answer:
        return _policy(self._service.change(caller, secret_policy_id, body.to_model(), expected=if_match))

    def delete(self, caller: Caller, secret_policy_id: str, if_match: int | None) -> Answer:
        self._service.delete(caller, secret_policy_id, expected=if_match)
        return Answer(None, 204)

    def preview(self, caller: Caller, secret_policy_id: str) -> m.Preview:
        return _preview(self._service.preview(caller, secret_policy_id))

    def preview_of(self, caller: Caller, body: m.PreviewBody) -> m.Preview:
        return _preview(self._service.preview_of(caller, body.given_fields()))


def _policy(policy: SecretPolicy, status: int = 200) -> Answer:
    """The whole policy, its revision as its ETag."""
    return Answer(m.SecretPolicy.of(policy), status, {"ETag": f'"{policy.revision}"'})


def _preview(plaintext: Plaintext) -> m.Preview:
    return m.Preview(data=json.loads(plaintext.reveal()))


def routes(service: SecretPolicyService, cursors: Cursors) -> Routes:
    at = SecretPolicyRoutes(service, cursors)
    return Routes("secret_policies", "policies", (*_collection(at), *_single(at)))


def _collection(at: SecretPolicyRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/secret-policies",
            at.list,
            "List secret policies",
            scope=Scope.POLICIES_READ,
            limit=RateCategory.POLICY,
            query=m.SecretPolicyQuery,
            reply=m.SecretPolicyPage,
            errors=(InvalidCursor,),
        ),
        Route(
            "POST",
            "/v1/secret-policies",
            at.create,
            "Make a secret policy: how a secret's values are generated",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            body=m.SecretPolicyBody,
            reply=m.SecretPolicy,
            status=201,
            errors=(errors.SecretPolicyExists, errors.TooManySecretPolicies),
        ),
        Route(
            "POST",
            "/v1/secret-policies/preview",
            at.preview_of,
            "Generate values by fields that are not saved; nothing is kept",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            body=m.PreviewBody,
            reply=m.Preview,
        ),
    )


def _single(at: SecretPolicyRoutes) -> tuple[Route, ...]:
    one = "/v1/secret-policies/<secret_policy_id>"
    writing = (errors.SecretPolicyNotFound, errors.SecretPolicyExists, errors.RevisionConflict)
    return (
        Route(
            "GET",
            one,
            at.read,
            "Read a secret policy",
            scope=Scope.POLICIES_READ,
            limit=RateCategory.POLICY,
            reply=m.SecretPolicy,
            errors=(errors.SecretPolicyNotFound,),
        ),
        Route(
            "PUT",
            one,
            at.replace,
            "Replace all of a secret policy",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            body=m.SecretPolicyBody,
            reply=m.SecretPolicy,
            takes_if_match=True,
            errors=writing,
        ),
        Route(
            "PATCH",
            one,
            at.change,
            "Change parts of a secret policy",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            body=m.SecretPolicyPatch,
            reply=m.SecretPolicy,
            takes_if_match=True,
            errors=writing,
        ),
        Route(
            "DELETE",
            one,
            at.delete,
            "Delete a secret policy; values made by it stay",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            status=204,
            takes_if_match=True,
            errors=(errors.SecretPolicyNotFound, errors.SecretPolicyInUse, errors.RevisionConflict),
        ),
        Route(
            "POST",
            f"{one}/preview",
            at.preview,
            "Generate values by a secret policy; nothing is kept",
            scope=Scope.POLICIES_WRITE,
            limit=RateCategory.POLICY,
            reply=m.Preview,
            errors=(errors.SecretPolicyNotFound,),
        ),
    )
