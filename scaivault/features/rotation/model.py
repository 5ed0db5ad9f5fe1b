"""How often a secret is renewed, and what a look at its schedule comes to. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import SystemRandom
from typing import Final

from scaivault.kernel.errors import ValidationFailed
from scaivault.kernel.renewal import Trigger

SHORTEST_INTERVAL: Final = timedelta(seconds=10)
DEFAULT_GRACE: Final = timedelta(hours=48)
MOST_POLICIES: Final = 200
MOST_THRESHOLDS: Final = 10
MOST_WEBHOOKS: Final = 20
MOST_AT_ONCE: Final = 100
# What making new values may take in one request: somebody waits for it, and nobody waits for longer than half a minute.
LONGEST_AT_ONCE: Final = timedelta(seconds=10)
# Why a secret was not renewed whose turn did not come in that time.
OUT_OF_TIME: Final = "out_of_time"
KEPT: Final = timedelta(days=400)
# What one worker has taken, no other looks at for so long: longer than the costliest batch takes.
LEASE: Final = timedelta(seconds=120)
FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=6)


class State(StrEnum):
    """`awaited`: due, and somebody is to write it. `overdue`: and has not within the grace period.

    `failing` is only said, of what is scheduled and could not be renewed so far; a row says scheduled.
    """

    SCHEDULED = "scheduled"
    FAILING = "failing"
    AWAITED = "awaited"
    OVERDUE = "overdue"
    PAUSED = "paused"


class Status(StrEnum):
    SUCCESS = "success"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy demands of each secret under it."""

    interval: timedelta
    grace: timedelta
    warn_before: Sequence[timedelta]
    auto_generate: bool
    is_active: bool

    @classmethod
    def of_seconds(
        cls, interval: int, grace: int, warn_before: Sequence[int], auto_generate: bool, is_active: bool
    ) -> "Terms":
        """As a row has them."""
        thresholds = tuple(timedelta(seconds=each) for each in warn_before)
        return cls(timedelta(seconds=interval), timedelta(seconds=grace), thresholds, auto_generate, is_active)

    def check(self) -> None:
        """ValidationFailed if it can not be kept."""
        if self.interval < SHORTEST_INTERVAL:
            raise ValidationFailed(fields={"interval": f"at least {SHORTEST_INTERVAL.seconds}s"})
        if any(each >= self.interval for each in self.warn_before):
            raise ValidationFailed(fields={"warn_before": "shorter than the interval, each of them"})

    def due(self, counts_from: datetime) -> datetime:
        return counts_from + self.interval

    def first_look(self, counts_from: datetime, now: datetime) -> datetime:
        """When the next thing happens of itself: a warning that is still to come, or the rotation."""
        due = self.due(counts_from)
        return min((at for each in self.warn_before if (at := due - each) > now), default=due)


@dataclass(frozen=True, slots=True)
class Policy:
    """How secrets are renewed. `revision` counts its changes, `schedule_revision` those that schedules hear of."""

    id: str
    name: str
    description: str
    terms: Terms
    secret_policy_id: str | None
    webhook_ids: Sequence[str]
    revision: int
    schedule_revision: int
    created_at: datetime
    updated_at: datetime
    secrets_count: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client decides about a policy."""

    name: str
    description: str
    interval: timedelta
    grace: timedelta
    warn_before: Sequence[timedelta]
    auto_generate: bool
    secret_policy_id: str | None
    webhook_ids: Sequence[str]
    is_active: bool

    def terms(self) -> Terms:
        terms = Terms(
            self.interval, self.grace, longest_first(self.warn_before), self.auto_generate, is_active=self.is_active
        )
        terms.check()
        return terms


@dataclass(frozen=True, slots=True)
class Changes:
    """Some of a draft; None is what stays as it is. `secret_policy_is_given` tells no policy from no change."""

    name: str | None = None
    description: str | None = None
    interval: timedelta | None = None
    grace: timedelta | None = None
    warn_before: Sequence[timedelta] | None = None
    auto_generate: bool | None = None
    secret_policy_id: str | None = None
    secret_policy_is_given: bool = False
    webhook_ids: Sequence[str] | None = None
    is_active: bool | None = None

    def named(self) -> list[str]:
        """What is to change."""
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        given.remove("secret_policy_is_given")
        if self.secret_policy_is_given and self.secret_policy_id is None:
            given.append("secret_policy_id")
        return given

    def of(self, policy: Policy, now: datetime) -> Policy:
        """The policy as they leave it, a revision on, or as it is if that is what they say; ValidationFailed."""
        old = policy.terms
        terms = Terms(
            interval=self.interval or old.interval,
            grace=self.grace or old.grace,
            warn_before=old.warn_before if self.warn_before is None else longest_first(self.warn_before),
            auto_generate=old.auto_generate if self.auto_generate is None else self.auto_generate,
            is_active=old.is_active if self.is_active is None else self.is_active,
        )
        terms.check()
        secret_policy_id = self.secret_policy_id if self.secret_policy_is_given else policy.secret_policy_id
        changed = replace(
            policy,
            name=policy.name if self.name is None else self.name,
            description=policy.description if self.description is None else self.description,
            terms=terms,
            secret_policy_id=secret_policy_id,
            webhook_ids=policy.webhook_ids if self.webhook_ids is None else self.webhook_ids,
        )
        if changed == policy:
            return policy
        return replace(
            changed,
            revision=policy.revision + 1,
            schedule_revision=policy.schedule_revision + (terms != old or secret_policy_id != policy.secret_policy_id),
            updated_at=now,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where a secret stands: when it is due, and when a worker is to look at it."""

    counts_from: datetime
    state: State
    due_at: datetime | None
    wake_at: datetime | None
    failures: int = 0

    @classmethod
    def anew(cls, terms: Terms, counts_from: datetime, now: datetime) -> "Schedule":
        """From a rotation or an assignment on."""
        if not terms.is_active:
            return cls(counts_from, State.PAUSED, None, None)
        return cls(counts_from, State.SCHEDULED, terms.due(counts_from), terms.first_look(counts_from, now))

    def due(self, terms: Terms, now: datetime) -> datetime:
        """When it is due under these terms.

        What was not due before is due now, and not at an instant that was over when they came into force: else its
        grace period would have ended before anybody was told.
        """
        by_terms = terms.due(self.counts_from)
        if by_terms > now:
            return by_terms
        return now if self.due_at is None or self.due_at > now else max(by_terms, self.due_at)

    def is_ahead(self, now: datetime) -> bool:
        """Not due now, or for nothing at all."""
        return self.due_at is None or self.due_at > now

    def under(self, terms: Terms, now: datetime) -> "Schedule":
        """The same secret under other terms. What has been told is not told again, and nothing is told late.

        What has failed is tried again at once: the change may be what it waited for. What is overdue is not, if its
        grace period ends later now.
        """
        anew = Schedule.anew(terms, self.counts_from, now)
        if anew.is_ahead(now):
            return anew
        due = self.due(terms, now)
        end = due + terms.grace
        is_overdue = self.state is State.OVERDUE and end <= now
        if terms.auto_generate:
            return Schedule(self.counts_from, State.OVERDUE if is_overdue else State.SCHEDULED, due, now)
        if self.state in {State.SCHEDULED, State.PAUSED}:
            return replace(anew, due_at=due, wake_at=now)
        if is_overdue:
            return replace(self, due_at=due, wake_at=None)
        return replace(self, state=State.AWAITED, due_at=due, wake_at=end)


class Deed(StrEnum):
    """What a look at a secret comes to."""

    NOTHING = "nothing"
    WARN = "warn"
    ROTATE = "rotate"
    AWAIT = "await"
    TELL_OVERDUE = "tell_overdue"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, and where the secret stands after it."""

    deed: Deed
    after: Schedule
    threshold: timedelta | None = None


def next_step(schedule: Schedule, terms: Terms, now: datetime) -> Step:
    """What is due of a secret that `now` was to be looked at. Each warning is told at most once.

    A threshold is news if it was passed since the look was due: those before have been told, or were passed before
    the secret came under these terms.
    """
    if not terms.is_active:
        return Step(Deed.NOTHING, replace(schedule, state=State.PAUSED, due_at=None, wake_at=None))
    due = schedule.due(terms, now)
    if now < due:
        since = schedule.wake_at or now
        passed = [each for each in terms.warn_before if since <= due - each <= now]
        after = replace(Schedule.anew(terms, schedule.counts_from, now), failures=schedule.failures)
        return Step(Deed.WARN, after, min(passed)) if passed else Step(Deed.NOTHING, after)
    if terms.auto_generate:
        return Step(Deed.ROTATE, replace(schedule, due_at=due, wake_at=now + LEASE))
    return _waiting(replace(schedule, due_at=due), due + terms.grace, now)


def _waiting(schedule: Schedule, until: datetime, now: datetime) -> Step:
    """Of a secret that somebody is to write."""
    if schedule.state is State.OVERDUE:
        return Step(Deed.NOTHING, replace(schedule, wake_at=None))
    if schedule.state is not State.AWAITED:
        return Step(Deed.AWAIT, replace(schedule, state=State.AWAITED, wake_at=until))
    if now < until:
        return Step(Deed.NOTHING, replace(schedule, wake_at=until))
    return Step(Deed.TELL_OVERDUE, replace(schedule, state=State.OVERDUE, wake_at=None))


def after_failure(schedule: Schedule, terms: Terms, now: datetime) -> Step:
    """Where a secret stands that could not be renewed: to be tried again, later each time, overdue or not.

    Also at the end of its grace period, however long the pause is: it is overdue then, and not when the pause ends.
    """
    failures = schedule.failures + 1
    next_at = now + pause_after(failures)
    after = replace(schedule, failures=failures, wake_at=next_at)
    if schedule.due_at is None or schedule.state is State.OVERDUE:
        return Step(Deed.NOTHING, after)
    end = schedule.due_at + terms.grace
    if now < end:
        return Step(Deed.NOTHING, replace(after, wake_at=min(next_at, end)))
    return Step(Deed.TELL_OVERDUE, replace(after, state=State.OVERDUE))


def pause_after(failures: int) -> timedelta:
    """Doubling, bounded, and anything up to a fifth longer, so that what failed together is not tried together."""
    seconds = min(FIRST_PAUSE.total_seconds() * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE.total_seconds())
    return timedelta(seconds=seconds * SystemRandom().uniform(1.0, 1.2))


def longest_first(spans: Sequence[timedelta]) -> tuple[timedelta, ...]:
    return tuple(sorted(set(spans), reverse=True))


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A secret under a policy, with all that a step of it takes."""

    partner_id: str
    tenant_id: str
    path: str
    secret_type: str
    metadata: Mapping[str, object]
    current_version: int
    secret_policy_id: str | None
    """The secret's own, or else the policy's."""
    policy_id: str
    policy_name: str
    terms: Terms
    schedule: Schedule
    history_id: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A secret that is to be renewed now, whatever its schedule."""

    path: str
    current_version: int
    policy_id: str | None
    secret_policy_id: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a policy's history."""

    id: str
    policy_id: str | None
    path: str
    status: Status
    triggered_by: Trigger
    identity_id: str
    attempts: int
    reason: str | None
    due_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    old_version: int | None
    new_version: int | None
    grace_period_ends: datetime | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A secret under a policy, and where it stands."""

    path: str
    policy_id: str
    policy_name: str
    auto_generate: bool
    state: State
    due_at: datetime | None
    rotated_at: datetime | None
    grace_seconds: int
    attempts: int
    """Of those that failed since it is due; the last of them for `error_code`, and the next is `next_attempt_at`."""
    error_code: str | None
    next_attempt_at: datetime | None
