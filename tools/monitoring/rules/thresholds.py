"""Which thresholds belong to which pace."""

from dataclasses import replace

from tools.monitoring.rules.pace import REAL, Pace
from tools.monitoring.thresholds import PRODUCTION, Thresholds

# Ages, which no compression of the windows makes come sooner (the laziest duty rests for 66 s), and how many there are
# at least of what comes at a pace of its own: a probe asks the key service once a second.
DRILL = replace(
    PRODUCTION,
    rotation_due_seconds=10,
    webhook_pending_seconds=10,
    duty_silent_seconds=80,
    fewest_calls=4,
    fewest_kms_errors=2,
)


def at(pace: Pace) -> Thresholds:
    """Those that belong to a pace."""
    return PRODUCTION if pace == REAL else DRILL
