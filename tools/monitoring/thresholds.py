"""The one place for numbers that alerts compare with and panels draw lines at.

What a `Thresholds` names is written into an expression or a sentence where it says `<name>`, as a percentage where it
says `<name%>`. A latency is the bound of a bucket (`catalogue/vocabulary.py`): what is slower is counted, not guessed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    # What is promised: 99.9 % of requests are answered without a fault of the vault's, 99 % of requests for secrets
    # within a quarter of a second. A burn rate is how many times as fast as allowed the errors come.
    error_budget: float = 0.001
    slow_budget: float = 0.01
    request_seconds: float = 0.25
    burn_fast: float = 14.4
    burn_medium: float = 6.0
    burn_slow: float = 1.0
    # Below so many errors in the longer window it is chance, not a rate.
    fewest_errors: int = 10
    # Of the requests of one category, which may be too few of all to be seen among them.
    category_failed_share: float = 0.5
    fewest_slow: int = 20

    rate_limited_per_second: float = 0.5
    limited_locally_per_second: float = 0.5

    # Of what a process asks others: the bound that is slow, and the share of calls beyond it that is too many.
    database_seconds: float = 0.1
    redis_seconds: float = 0.025
    kms_seconds: float = 0.5
    audit_seconds: float = 0.1
    slow_share: float = 0.05
    fewest_calls: int = 20
    fewest_kms_calls: int = 20
    kms_error_share: float = 0.05
    fewest_kms_errors: int = 5

    rotation_due_seconds: int = 900
    webhook_pending_seconds: int = 600
    webhook_failed_share: float = 0.05
    fewest_attempts: int = 20
    duty_silent_seconds: int = 300

    violation_factor: int = 10
    fewest_violations: int = 50


PRODUCTION = Thresholds()


def written(value: float, *, as_percentage: bool = False) -> str:
    """As a label `le` has it too; `<name%>` is for sentences."""
    return f"{value * 100:g} %" if as_percentage else repr(value)
