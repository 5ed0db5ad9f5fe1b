"""A secret's new value that takes the place of the one before."""

from dataclasses import dataclass
from enum import StrEnum

from scaivault.kernel.paths import SecretPath


class Trigger(StrEnum):
    """What renewed it: its schedule or somebody's request, by a generated value, or somebody who wrote his own."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Renewal:
    """A version that has just been written, in the transaction that tells of it."""

    path: SecretPath
    secret_type: str
    tags: frozenset[str]
    old_version: int
    new_version: int
    policy_id: str | None
    trigger: Trigger
