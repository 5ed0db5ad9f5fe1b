"""From messages to the model and back."""

from collections.abc import Sequence
from typing import cast

from scaivault.edge.routes import Answer
from scaivault.features.policies.errors import InvalidPolicy
from scaivault.features.policies.model import evaluation, policies, rules
from scaivault.features.policies.model.evaluation import Verdict
from scaivault.features.policies.routes import messages
from scaivault.features.policies.service.policies import Trial
from scaivault.kernel.paths import parse_path

_REASONS = {
    Verdict.DENIED: "Rule {index} denies this.",
    Verdict.ALLOWED: "Rule {index} allows this.",
    Verdict.IP_NOT_ALLOWED: "Rule {index} would allow this from another address.",
    Verdict.MFA_REQUIRED: "Rule {index} would allow this after a recent multi-factor authentication.",
    Verdict.OUTSIDE_TIME_WINDOW: "Rule {index} would allow this at another time.",
    Verdict.DENY_SET_ASIDE: "Rule {index} would deny this, but its conditions do not hold; no other rule matches.",
    Verdict.OTHER_PERMISSION: "A rule has a pattern that matches the path, but none of those grants the permission.",
    Verdict.OTHER_PATH: "No rule has a pattern that matches the path.",
    Verdict.BINDING_EXPIRED: "The identity's binding to the policy has expired.",
    Verdict.INACTIVE: "The policy is not active.",
}


def draft(body: messages.PolicyBody) -> policies.Draft:
    policies.check_scope(body.scope)
    return policies.Draft(body.name, body.description, _rules(body.rules), body.is_active)


def changes(body: messages.PolicyPatch) -> policies.Changes:
    given = body.model_fields_set
    if not given:
        raise InvalidPolicy("There is nothing to change: send name, description, rules or is_active.")
    policies.check_scope(body.scope)
    return policies.Changes(
        name=body.name if "name" in given else None,
        description=body.description if "description" in given else None,
        rules=_rules(body.rules) if "rules" in given else None,
        is_active=body.is_active if "is_active" in given else None,
    )


def _rules(shapes: Sequence[messages.Rule]) -> tuple[rules.Rule, ...]:
    # The bodies' JSON form is the model's: messages.Rule and rules.RuleJson say the same twice.
    return rules.parse_rules([cast("rules.RuleJson", shape.model_dump(mode="json")) for shape in shapes])


def policy(detail: policies.Detail, status: int = 200) -> Answer:
    """The whole policy, its revision as its ETag."""
    stored = detail.policy
    reply = messages.Policy(
        id=stored.id,
        name=stored.name,
        description=stored.description,
        is_active=stored.is_active,
        revision=stored.revision,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        rules=[messages.Rule.model_validate(rule.as_json()) for rule in stored.rules],
        bindings=[binding(each) for each in detail.bindings],
    )
    return Answer(reply, status, {"ETag": f'"{stored.revision}"'})


def summary(row: policies.Summary) -> messages.PolicySummary:
    return messages.PolicySummary(
        id=row.id,
        name=row.name,
        description=row.description,
        is_active=row.is_active,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
        rule_count=row.rule_count,
        binding_count=row.binding_count,
    )


def binding(row: policies.Binding) -> messages.Binding:
    return messages.Binding(
        id=row.id,
        policy_id=row.policy_id,
        identity_type=row.identity_type,
        identity_id=row.identity_id,
        expires_at=row.expires_at,
        created_at=row.created_at,
    )


def trial(body: messages.TrialBody) -> Trial:
    return Trial(
        subject=policies.parse_subject(body.identity_type, body.identity_id),
        groups=None if body.groups is None else frozenset(body.groups),
        permission=body.permission,
        path=parse_path(body.path),
        source_ip=body.context.source_ip,
        is_mfa_verified=body.context.mfa_verified,
        asked_at=body.context.timestamp,
    )


def trial_result(explanation: evaluation.Explanation) -> messages.TrialResult:
    decision = explanation.decision
    return messages.TrialResult(
        allowed=decision.is_allowed,
        matched=_match(decision.matched),
        reason=_reason(decision),
        failed_condition=decision.failed_condition,
        evaluated=[_evaluated(finding) for finding in explanation.findings],
    )


def _match(finding: evaluation.Finding | None) -> messages.Match | None:
    if finding is None or finding.rule is None or finding.rule_index is None:
        return None
    return messages.Match(
        policy_id=finding.policy.id,
        policy_name=finding.policy.name,
        rule=finding.rule_index,
        path_pattern=finding.rule.path_pattern.text,
        effect=finding.rule.effect,
    )


def _evaluated(finding: evaluation.Finding) -> messages.Evaluated:
    return messages.Evaluated(
        policy_id=finding.policy.id,
        policy_name=finding.policy.name,
        matched=finding.is_match,
        reason=_REASONS[finding.verdict].format(index=finding.rule_index),
    )


def _reason(decision: evaluation.Decision) -> str:
    finding = decision.decisive
    if finding is None:
        return "No policy is bound to this identity or to its groups."
    if finding.verdict <= Verdict.DENY_SET_ASIDE:
        return f"{finding.policy.name}: {_REASONS[finding.verdict].format(index=finding.rule_index)}"
    return "None of the identity's policies has a rule that allows this."
