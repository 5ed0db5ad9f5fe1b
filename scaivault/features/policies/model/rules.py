"""Rules, and the one JSON form they have in bodies, in answers and in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict

from scaivault.features.policies.errors import InvalidPolicy
from scaivault.features.policies.model.conditions import ALWAYS, Conditions, ConditionsJson
from scaivault.kernel.caller import Permission
from scaivault.kernel.globs import Glob

MAX_RULES = 100
_ADMIN = Permission.ADMIN  # looked up once: this is asked for every rule of every request


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class RuleJson(TypedDict):
    path_pattern: str
    permissions: list[str]
    effect: NotRequired[str]
    conditions: NotRequired[ConditionsJson | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """`effect` on the paths of one pattern, for some permissions, under some conditions."""

    path_pattern: Glob
    permissions: tuple[Permission, ...]
    effect: Effect = Effect.ALLOW
    conditions: Conditions = ALWAYS

    def covers(self, permission: Permission) -> bool:
        """Whether the rule speaks of this permission: `admin` stands for all of them, in a deny too."""
        return permission in self.permissions or _ADMIN in self.permissions

    @classmethod
    def from_json(cls, form: RuleJson) -> "Rule":
        """InvalidPolicy, InvalidGlob or InvalidDuration if the rule means nothing."""
        return cls(
            path_pattern=Glob.parse(form["path_pattern"]),
            permissions=_permissions(form["permissions"]),
            effect=_effect(form.get("effect", Effect.ALLOW)),
            conditions=Conditions.from_json(form.get("conditions") or {}),
        )

    def as_json(self) -> RuleJson:
        return {
            "path_pattern": self.path_pattern.text,
            "permissions": [permission.value for permission in self.permissions],
            "effect": self.effect.value,
            "conditions": None if self.conditions == ALWAYS else self.conditions.as_json(),
        }


def parse_rules(forms: Sequence[RuleJson]) -> tuple[Rule, ...]:
    """1 to 100 rules, or the error of the first that is none."""
    if not 1 <= len(forms) <= MAX_RULES:
        raise InvalidPolicy(f"A policy has 1 to {MAX_RULES} rules.")
    return tuple(Rule.from_json(form) for form in forms)


def _permissions(names: list[str]) -> tuple[Permission, ...]:
    if not names:
        raise InvalidPolicy("A rule names at least one permission.")
    if len(set(names)) != len(names):
        raise InvalidPolicy("A rule names each permission at most once.")
    try:
        return tuple(Permission(name) for name in names)
    except ValueError:
        raise InvalidPolicy(f"Permissions are {', '.join(Permission)}.") from None


def _effect(name: str) -> Effect:
    try:
        return Effect(name)
    except ValueError:
        raise InvalidPolicy("A rule's effect is allow or deny.") from None
