"""How often a secret is renewed, and what a look at its schedule comes to. No I/O."""

from scaivault.features.rotation.model.history import (
    KEPT,
    OUT_OF_TIME,
    Item,
    Status,
)
from scaivault.features.rotation.model.policies import (
    MOST_POLICIES,
    MOST_THRESHOLDS,
    MOST_WEBHOOKS,
    Changes,
    Draft,
    Policy,
)
from scaivault.features.rotation.model.schedules import (
    FIRST_PAUSE,
    LEASE,
    LONGEST_PAUSE,
    Deed,
    Schedule,
    State,
    Step,
    after_failure,
    next_step,
    pause_after,
)
from scaivault.features.rotation.model.secrets import (
    LONGEST_AT_ONCE,
    MOST_AT_ONCE,
    Assignment,
    Scheduled,
    Target,
)
from scaivault.features.rotation.model.terms import (
    DEFAULT_GRACE,
    SHORTEST_INTERVAL,
    Terms,
    longest_first,
)

__all__ = [
    "DEFAULT_GRACE",
    "FIRST_PAUSE",
    "KEPT",
    "LEASE",
    "LONGEST_AT_ONCE",
    "LONGEST_PAUSE",
    "MOST_AT_ONCE",
    "MOST_POLICIES",
    "MOST_THRESHOLDS",
    "MOST_WEBHOOKS",
    "OUT_OF_TIME",
    "SHORTEST_INTERVAL",
    "Assignment",
    "Changes",
    "Deed",
    "Draft",
    "Item",
    "Policy",
    "Schedule",
    "Scheduled",
    "State",
    "Status",
    "Step",
    "Target",
    "Terms",
    "after_failure",
    "longest_first",
    "next_step",
    "pause_after",
]
