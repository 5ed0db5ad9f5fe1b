"""Which thresholds belong to which pace."""

from dataclasses import replace

from tools.monitoring.rules.pace import REAL, Pace
from tools.monitoring.thresholds import PRODUCTION, Thresholds

# Ages, which no compression of the windows makes come sooner: the laziest duty rests for 66 s. And how much there is at
# least of what comes no sooner either: readiness asks the key service once a second, receivers hear of so many events.
# One call to Redis that takes 0.05 s is half a second of limits kept locally, and processes that wait for a core make a
# tenth of all calls slow: of minutes that is little, of 6 s much. A fault that is injected makes all of them slow.
DRILL = replace(
    PRODUCTION,
    slow_share=0.5,
    limited_locally_per_second=10.0,
    fewest_kms_calls=5,
    fewest_attempts=5,
    # A day is a minute and a half here, and soon full of the spike itself.
    violation_factor=3,
    rotation_due_seconds=10,
    webhook_pending_seconds=10,
    duty_silent_seconds=80,
)


def at(pace: Pace) -> Thresholds:
    """Those that belong to a pace."""
    return PRODUCTION if pace == REAL else DRILL
