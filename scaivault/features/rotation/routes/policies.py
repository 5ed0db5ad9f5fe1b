"""`/v1/rotation/policies`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Answer, Route
from scaivault.features.events.errors import WebhookNotFound
from scaivault.features.generators.errors import SecretPolicyNotFound
from scaivault.features.rotation import errors
from scaivault.features.rotation.model import Changes, Policy
from scaivault.features.rotation.routes import messages as m
from scaivault.features.rotation.service.policies import RotationPolicyService
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.errors import InvalidCursor, InvalidDuration
from scaivault.kernel.limits import RateCategory

ONE = "/v1/rotation/policies/<rotation_policy_id>"


class RotationPolicyRoutes:
    def __init__(self, policies: RotationPolicyService, cursors: Cursors) -> None:
        self._policies = policies
        self._cursors = cursors

    def list(self, caller: Caller, query: m.PolicyQuery) -> m.RotationPolicyPage:
        bound_to = ("rotation_policies", caller.tenant_id, str(query.active_only))
        found = partial(self._policies.list, caller, active_only=query.active_only)
        piece = self._cursors.piece(query, bound_to, found, lambda policy: policy.name)
        policies = [m.RotationPolicy.of(policy) for policy in piece.items]
        return m.RotationPolicyPage(data=policies, cursor=piece.cursor, has_more=piece.has_more)

    def create(self, caller: Caller, body: m.RotationPolicyBody) -> Answer:
        return _policy(self._policies.create(caller, body.to_model()), 201)

    def read(self, caller: Caller, rotation_policy_id: str) -> Answer:
        return _policy(self._policies.read(caller, rotation_policy_id))

    def change(
        self, caller: Caller, rotation_policy_id: str, body: m.RotationPolicyPatch, if_match: int | None
    ) -> Answer:
        return _policy(self._policies.change(caller, rotation_policy_id, body.to_model(), expected=if_match))

    def delete(self, caller: Caller, rotation_policy_id: str, if_match: int | None) -> Answer:
        self._policies.delete(caller, rotation_policy_id, expected=if_match)
        return Answer(None, 204)

    def enable(self, caller: Caller, rotation_policy_id: str, if_match: int | None) -> Answer:
        return _policy(self._policies.change(caller, rotation_policy_id, Changes(is_active=True), expected=if_match))

    def disable(self, caller: Caller, rotation_policy_id: str, if_match: int | None) -> Answer:
        return _policy(self._policies.change(caller, rotation_policy_id, Changes(is_active=False), expected=if_match))


def _policy(policy: Policy, status: int = 200) -> Answer:
    """The whole policy, its revision as its ETag."""
    return Answer(m.RotationPolicy.of(policy), status, {"ETag": f'"{policy.revision}"'})


def policy_table(policies: RotationPolicyService, cursors: Cursors) -> Sequence[Route]:
    at = RotationPolicyRoutes(policies, cursors)
    return (*_collection(at), *_single(at))


def _collection(at: RotationPolicyRoutes) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v1/rotation/policies",
            at.list,
            "List rotation policies",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            query=m.PolicyQuery,
            reply=m.RotationPolicyPage,
            errors=(InvalidCursor,),
        ),
        Route(
            "POST",
            "/v1/rotation/policies",
            at.create,
            "Make a rotation policy: how often its secrets are renewed, and by whom",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            body=m.RotationPolicyBody,
            reply=m.RotationPolicy,
            status=201,
            errors=(
                errors.RotationPolicyExists,
                errors.TooManyRotationPolicies,
                SecretPolicyNotFound,
                WebhookNotFound,
                InvalidDuration,
            ),
        ),
    )


def _single(at: RotationPolicyRoutes) -> tuple[Route, ...]:
    read = Route(
        "GET",
        ONE,
        at.read,
        "Read a rotation policy",
        scope=Scope.ADMIN,
        limit=RateCategory.POLICY,
        reply=m.RotationPolicy,
        errors=(errors.RotationPolicyNotFound,),
    )
    switch = replace(
        read,
        method="POST",
        takes_if_match=True,
        errors=(errors.RotationPolicyNotFound, errors.RevisionConflict),
    )
    return (
        read,
        Route(
            "PATCH",
            ONE,
            at.change,
            "Change parts of a rotation policy; its secrets are scheduled anew",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            body=m.RotationPolicyPatch,
            reply=m.RotationPolicy,
            takes_if_match=True,
            errors=(
                errors.RotationPolicyNotFound,
                errors.RotationPolicyExists,
                errors.RevisionConflict,
                SecretPolicyNotFound,
                WebhookNotFound,
                InvalidDuration,
            ),
        ),
        Route(
            "DELETE",
            ONE,
            at.delete,
            "Delete a rotation policy; its secrets stay, and nothing renews them",
            scope=Scope.ADMIN,
            limit=RateCategory.POLICY,
            status=204,
            takes_if_match=True,
            errors=(errors.RotationPolicyNotFound, errors.RevisionConflict),
        ),
        replace(switch, rule=f"{ONE}/enable", view=at.enable, summary="Go on with a rotation policy"),
        replace(
            switch,
            rule=f"{ONE}/disable",
            view=at.disable,
            summary="Pause a rotation policy; its secrets stay under it",
        ),
    )
