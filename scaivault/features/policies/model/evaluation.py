"""What somebody's policies come to for one permission on one path. Default deny; a deny that applies always wins.

Every rule comes to a verdict. Verdicts are ranked, and the most decisive one of all rules of all policies is the
decision: the order of rules and policies can not matter, and nothing outranks a deny.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from scaivault.features.policies.model.conditions import ALWAYS, Condition, Context
from scaivault.features.policies.model.policies import Policy
from scaivault.features.policies.model.rules import Effect, Rule
from scaivault.kernel.caller import Permission
from scaivault.kernel.errors import AccessDenied, Forbidden, IpNotAllowed, MfaRequired, TimeWindowViolation
from scaivault.kernel.globs import Glob, disjoint_prefixes


class Verdict(IntEnum):
    """From the most decisive to the least."""

    DENIED = 0
    ALLOWED = 1
    IP_NOT_ALLOWED = 2
    MFA_REQUIRED = 3
    OUTSIDE_TIME_WINDOW = 4
    DENY_SET_ASIDE = 5
    OTHER_PERMISSION = 6
    OTHER_PATH = 7
    BINDING_EXPIRED = 8
    INACTIVE = 9


_UNMET = {
    Condition.IP_RANGES: Verdict.IP_NOT_ALLOWED,
    Condition.REQUIRE_MFA: Verdict.MFA_REQUIRED,
    Condition.TIME_WINDOW: Verdict.OUTSIDE_TIME_WINDOW,
}
_FAILED = {verdict: condition for condition, verdict in _UNMET.items()}
_REFUSALS: dict[Verdict, type[Forbidden]] = {
    Verdict.IP_NOT_ALLOWED: IpNotAllowed,
    Verdict.MFA_REQUIRED: MfaRequired,
    Verdict.OUTSIDE_TIME_WINDOW: TimeWindowViolation,
}
# Looked up once: this runs for every rule of every request.
_DENIED, _ALLOWED, _LAST = Verdict.DENIED, Verdict.ALLOWED, Verdict.INACTIVE
_OTHER_PERMISSION, _OTHER_PATH = Verdict.OTHER_PERMISSION, Verdict.OTHER_PATH
_DENY = Effect.DENY


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy that is bound to somebody, until `expires_at` if that is not None."""

    policy: Policy
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one policy comes to, and by which of its rules; no rule if none has this pattern."""

    policy: Policy
    verdict: Verdict
    rule_index: int | None

    @property
    def is_match(self) -> bool:
        return self.verdict <= Verdict.ALLOWED

    @property
    def rule(self) -> Rule | None:
        return None if self.rule_index is None else self.policy.rules[self.rule_index]


@dataclass(frozen=True, slots=True)
class Decision:
    """The most decisive finding. Without any policy there is none, and no access."""

    decisive: Finding | None

    @property
    def is_allowed(self) -> bool:
        return self.decisive is not None and self.decisive.verdict is Verdict.ALLOWED

    @property
    def matched(self) -> Finding | None:
        """The finding whose rule allowed or denied this, if one did."""
        return self.decisive if self.decisive is not None and self.decisive.is_match else None

    @property
    def failed_condition(self) -> Condition | None:
        """What alone stood between the caller and an allow, if anything did."""
        return None if self.decisive is None else _FAILED.get(self.decisive.verdict)

    def refusal(self) -> Forbidden:
        """The error to answer with when this is not allowed."""
        if self.decisive is None or self.decisive.verdict not in _REFUSALS:
            return AccessDenied()
        return _REFUSALS[self.decisive.verdict](failed_condition=self.failed_condition)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and what each of the policies had to say to it."""

    decision: Decision
    findings: tuple[Finding, ...]


def evaluate(bounds: Sequence[Bound], permission: Permission, path: str, context: Context) -> Decision:
    """What these policies decide about `permission` on `path` under these circumstances."""
    decisive, best, best_index = None, _LAST, None
    for bound in bounds:
        verdict, index = _weigh(bound, permission, path, context)
        if decisive is None or verdict < best:
            decisive, best, best_index = bound.policy, verdict, index
    return Decision(None if decisive is None else Finding(decisive, best, best_index))


def explain(bounds: Sequence[Bound], permission: Permission, path: str, context: Context) -> Explanation:
    """The decision of `evaluate` with its reasons."""
    findings = (Finding(bound.policy, *_weigh(bound, permission, path, context)) for bound in bounds)
    return Explanation(evaluate(bounds, permission, path, context), tuple(findings))


def _weigh(bound: Bound, permission: Permission, path: str, context: Context) -> tuple[Verdict, int | None]:
    """The most decisive verdict of a policy's rules, and the first rule that comes to it."""
    if not bound.policy.is_active:
        return Verdict.INACTIVE, None
    if bound.expires_at is not None and bound.expires_at <= context.now:
        return Verdict.BINDING_EXPIRED, None
    best, best_index = _OTHER_PATH, None
    for index, rule in enumerate(bound.policy.rules):
        if rule.path_pattern.matches(path):
            verdict = _judge(rule, permission, context)
            if verdict < best:
                best, best_index = verdict, index
    return best, best_index


def _judge(rule: Rule, permission: Permission, context: Context) -> Verdict:
    """The verdict of a rule whose pattern matches."""
    if not rule.covers(permission):
        return _OTHER_PERMISSION
    failed = rule.conditions.failed(context)
    if rule.effect is _DENY:
        return _DENIED if failed is None else Verdict.DENY_SET_ASIDE
    return _ALLOWED if failed is None else _UNMET[failed]


@dataclass(frozen=True, slots=True)
class Territory:
    """Where somebody holds a permission at one moment: inside of an allow and of no deny."""

    allows: tuple[Glob, ...]
    denies: tuple[Glob, ...]
    prefixes: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """What `evaluate` would say of this path."""
        return any(glob.matches(path) for glob in self.allows) and not any(glob.matches(path) for glob in self.denies)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Where at least one of several permissions is held."""

    territories: tuple[Territory, ...]

    @property
    def prefixes(self) -> tuple[str, ...]:
        return disjoint_prefixes(prefix for each in self.territories for prefix in each.prefixes)

    def covers(self, path: str) -> bool:
        return any(each.covers(path) for each in self.territories)


def territory(bounds: Sequence[Bound], permission: Permission, context: Context) -> Territory:
    """Everything that `evaluate` asks but the path, asked once for many paths."""
    return _territory(bounds, permission, context.now, lambda rule: rule.conditions.failed(context) is None)


def outlook(bounds: Sequence[Bound], permission: Permission, now: datetime) -> Territory:
    """Where the permission could be held, whatever the circumstances: in an allow, in no deny that always holds."""
    return _territory(bounds, permission, now, lambda rule: rule.effect is not _DENY or rule.conditions == ALWAYS)


def _territory(
    bounds: Sequence[Bound], permission: Permission, now: datetime, applies: Callable[[Rule], bool]
) -> Territory:
    applying: dict[Effect, list[Glob]] = {Effect.ALLOW: [], Effect.DENY: []}
    for bound in bounds:
        if bound.policy.is_active and (bound.expires_at is None or now < bound.expires_at):
            for rule in bound.policy.rules:
                if rule.covers(permission) and applies(rule):
                    applying[rule.effect].append(rule.path_pattern)
    allows, denies = (tuple(dict.fromkeys(globs)) for globs in (applying[Effect.ALLOW], applying[Effect.DENY]))
    return Territory(allows, denies, disjoint_prefixes(glob.literal_prefix for glob in allows))
