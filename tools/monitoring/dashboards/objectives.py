"""Where panels draw their lines: what is promised, and what is slow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lines:
    # 99.9 % of requests are answered without a fault of the vault's, 99 % of those for secrets within a quarter of a
    # second. A burn rate is how many times as fast as allowed the errors come.
    error_budget: float = 0.001
    slow_budget: float = 0.01
    request_seconds: float = 0.25
    burn_fast: float = 14.4
    burn_medium: float = 6.0
    burn_slow: float = 1.0
    rate_limited_per_second: float = 0.5
    database_seconds: float = 0.1
    redis_seconds: float = 0.025
    kms_seconds: float = 0.5
    audit_seconds: float = 0.1
    rotation_due_seconds: int = 900
    webhook_pending_seconds: int = 600
    webhook_failed_share: float = 0.05
    duty_silent_seconds: int = 300


LINES = Lines()
