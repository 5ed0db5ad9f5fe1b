"""What a look at a schedule comes to, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.features.rotation.model import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Deed,
    Schedule,
    State,
    Terms,
    after_failure,
    longest_first,
    next_step,
    pause_after,
)
from scaivault.features.rotation.service.scheduler import ASK_SECONDS, Turns
from scaivault.kernel.errors import ValidationFailed

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
HOURS = st.integers(1, 24 * 60).map(lambda hours: timedelta(hours=hours))


EITHER = st.booleans()


@st.composite
def all_terms(draw, auto_generate=EITHER):
    interval = draw(HOURS)
    warn = [each for each in draw(st.lists(HOURS, max_size=5)) if each < interval]
    return Terms(interval, draw(HOURS), longest_first(warn), draw(auto_generate), is_active=True)


def terms(**more):
    given_terms = {
        "interval": timedelta(days=30),
        "grace": timedelta(days=2),
        "warn_before": (),
        "auto_generate": False,
    }
    return Terms(**given_terms | more, is_active=True)


@given(all_terms(st.just(False)), st.lists(HOURS, max_size=30))
def test_however_late_a_worker_looks_nothing_is_told_twice_and_the_rest_in_its_order(its_terms, pauses):
    schedule, now, told = Schedule.anew(its_terms, NOW, NOW), NOW, []
    for pause in pauses:
        now += pause
        while schedule.wake_at is not None and schedule.wake_at <= now:
            step = next_step(schedule, its_terms, now)
            if step.deed is not Deed.NOTHING:
                told.append((step.deed, step.threshold))
            schedule = step.after
    assert len(told) == len(set(told))
    warned = [threshold for deed, threshold in told if deed is Deed.WARN]
    assert warned == sorted(warned, reverse=True)
    assert set(warned) <= set(its_terms.warn_before)
    after = [deed for deed, _ in told if deed is not Deed.WARN]
    assert after == [Deed.AWAIT, Deed.TELL_OVERDUE][: len(after)]
    is_over = now >= NOW + its_terms.interval + its_terms.grace
    assert (schedule.state is State.OVERDUE) is is_over


@given(all_terms(), HOURS)
def test_the_next_look_is_at_the_next_thing_there_is(its_terms, late):
    schedule = Schedule.anew(its_terms, NOW, NOW + late)
    assert schedule.due_at == NOW + its_terms.interval
    instants = {schedule.due_at, *(schedule.due_at - each for each in its_terms.warn_before)}
    ahead = [each for each in instants if each > NOW + late]
    assert schedule.wake_at == min(ahead, default=schedule.due_at)


@given(all_terms(), all_terms(), HOURS)
def test_other_terms_leave_one_due_time_and_a_look_that_is_not_too_late(old, new, late):
    now = NOW + late
    schedule = Schedule.anew(old, NOW, NOW)
    while schedule.wake_at is not None and schedule.wake_at <= now and not old.auto_generate:
        schedule = next_step(schedule, old, now).after
    moved = schedule.under(new, now)
    by_terms = NOW + new.interval
    assert moved.due_at == (by_terms if by_terms > now else max(by_terms, min(schedule.due_at, now)))
    assert (moved.state is State.OVERDUE) <= (moved.due_at + new.grace <= now)
    assert moved.wake_at is None or moved.wake_at <= max(now, moved.due_at + new.grace)
    assert moved.wake_at is not None or moved.state is State.OVERDUE


@given(all_terms(st.just(False)), all_terms(st.just(False)), HOURS)
def test_what_other_terms_make_due_has_the_whole_grace_period_before_it(old, new, late):
    now = NOW + late
    for before in (Schedule.anew(replace(old, is_active=False), NOW, now), Schedule.anew(old, NOW, NOW)):
        schedule = before.under(new, now)
        if schedule.due_at > now or (before.due_at is not None and before.due_at <= now):
            continue
        told = next_step(schedule, new, now)
        assert (told.deed, told.after.due_at, told.after.wake_at) == (Deed.AWAIT, now, now + new.grace)
        assert next_step(told.after, new, now + new.grace).deed is Deed.TELL_OVERDUE


def test_an_interval_that_was_short_for_a_moment_leaves_no_trace():
    now = NOW + timedelta(days=20)
    schedule = Schedule.anew(terms(), NOW, NOW)
    assert schedule.under(terms(interval=timedelta(days=1)), now).under(terms(), now) == schedule.under(terms(), now)


def test_what_is_overdue_is_not_any_more_if_its_grace_period_ends_later():
    overdue = Schedule(NOW, State.OVERDUE, NOW + timedelta(days=30), None)
    now = NOW + timedelta(days=33)
    longer = terms(grace=timedelta(days=9))
    moved = overdue.under(longer, now)
    assert (moved.state, moved.wake_at) == (State.AWAITED, NOW + timedelta(days=39))
    assert overdue.under(replace(longer, auto_generate=True), now).state is State.SCHEDULED
    assert overdue.under(terms(grace=timedelta(days=1)), now).state is State.OVERDUE


def test_a_failure_waits_longer_each_time_and_never_for_ever():
    for failures in range(1, 40):
        pause = pause_after(failures)
        assert FIRST_PAUSE <= pause <= LONGEST_PAUSE * 1.2
    assert pause_after(1) < pause_after(3) < pause_after(6)


@given(st.integers(0, 40), st.integers(1, 48 * 60 - 1))
def test_what_fails_within_its_grace_period_is_looked_at_by_the_end_of_it(failures, minutes):
    schedule = replace(Schedule.anew(terms(auto_generate=True), NOW, NOW), failures=failures)
    now = schedule.due_at + timedelta(minutes=minutes)
    step = after_failure(schedule, terms(auto_generate=True), now)
    assert (step.deed, step.after.state) == (Deed.NOTHING, State.SCHEDULED)
    assert now < step.after.wake_at <= schedule.due_at + timedelta(days=2)


def test_what_fails_beyond_its_grace_period_is_overdue_once():
    schedule = Schedule.anew(terms(auto_generate=True), NOW, NOW)
    later = NOW + timedelta(days=33)
    first = after_failure(schedule, terms(auto_generate=True), later)
    assert (first.deed, first.after.state) == (Deed.TELL_OVERDUE, State.OVERDUE)
    again = after_failure(first.after, terms(auto_generate=True), later + timedelta(days=1))
    assert (again.deed, again.after.failures) == (Deed.NOTHING, 2)


@pytest.mark.parametrize(
    "more", [{"interval": timedelta(seconds=9)}, {"warn_before": (timedelta(days=30),)}], ids=["short", "threshold"]
)
def test_terms_that_can_not_be_kept_are_refused(more):
    with pytest.raises(ValidationFailed):
        terms(**more).check()


class TestTurns:
    def test_each_has_a_turn_and_who_comes_new_is_next(self):
        due, clock = ["a"], [0.0]
        turns = Turns(lambda: list(due), lambda: clock[0])
        assert turns.next() == "a"
        turns.again("a")
        due.append("b")
        assert turns.next() == "a"
        turns.again("a")
        clock[0] += ASK_SECONDS + 0.1
        assert turns.next() == "b"
        assert turns.next() == "a"

    def test_nothing_due_is_nobodys_turn(self):
        assert Turns(list).next() is None

    def test_asking_takes_a_small_part_of_the_time(self):
        asked, clock = [], [0.0]

        def ask():
            asked.append(clock[0])
            clock[0] += 1.0
            return ["a"]

        turns = Turns(ask, lambda: clock[0])
        while clock[0] < 100:
            turns.again(turns.next())
            clock[0] += 0.1
        assert len(asked) <= 6
