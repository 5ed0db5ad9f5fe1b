"""Where a secret stands, and what a look at it comes to."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import SystemRandom
from typing import Final

from scaivault.features.rotation.model.terms import Terms

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
