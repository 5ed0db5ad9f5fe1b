"""A drill: faults into a running stack, and what the pager is told of them. Whatever else it is told is a fault of ours."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from tests.drills.pager import FIRING, RESOLVED
from tests.drills.stack import Stack

WATCHDOG = "ScaiVaultWatchdog"
PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class Injection:
    """A fault, which lasts as long as the block, and the alerts that must tell of it."""

    fault: str
    inject: Callable[[Stack], AbstractContextManager]
    fires: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    """By which they are told from the same alerts of another fault."""


@dataclass(frozen=True)
class Round:
    """Faults that do not disturb each other, injected together. No alert may fire that is not named here."""

    name: str
    injections: tuple[Injection, ...]
    may_fire: Mapping[str, str] = field(default_factory=dict)
    """Alerts that tell of these faults too, if they last long enough, and why."""

    @property
    def must_fire(self):
        return {alert for injection in self.injections for alert in injection.fires}


@dataclass(frozen=True)
class Seen:
    """A line of evidence: an alert that was delivered, and its end."""

    alert: str
    fault: str
    notified_after: float | None
    resolved_after: float | None


@dataclass
class _Ongoing:
    """A fault that is injected: since when, and how to end it."""

    injection: Injection
    began_at: float
    fault: ExitStack
    ended_at: float = 0.0

    def end(self):
        self.ended_at = time.time()
        self.fault.close()


class Drill:
    """Rounds on one stack, one after the other; `tell` hears how it goes."""

    def __init__(self, stack, pager, tell, patience_seconds=PATIENCE_SECONDS):
        self._stack = stack
        self._pager = pager
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._looked_at = 0.0
        self.evidence = []
        self.counted = Counter()
        """What else was seen, and how much of it."""

    def watch_quietly(self, seconds):
        """AssertionError if anything but the watchdog fires meanwhile."""
        self._tell(f"Nothing is wrong for {seconds} s:")
        self._await_quiet()
        self._pager.await_news(lambda: self._pager.firing() != {WATCHDOG}, seconds)
        self._check_nothing_but()
        self._looked_at = time.time()
        self.evidence.append(Seen(WATCHDOG, "none: it fires while the way to the pager is open", None, None))
        self._tell(f"  {WATCHDOG} was told, and nothing else")

    def run(self, a_round):
        """Add the round's evidence to what there is. AssertionError if it is not all as it should be."""
        self._await_quiet()
        try:
            self._run(a_round)
        finally:
            self._looked_at = time.time()  # what one round is told is no fault of the next

    def _run(self, a_round):
        self._tell(f"{a_round.name}:")
        with ExitStack() as faults:
            ongoing = [self._inject(injection, faults) for injection in a_round.injections]
            self._end_each_when_told(ongoing)
        self._await_quiet()
        self._check_nothing_but(*a_round.must_fire, *a_round.may_fire)
        for each in ongoing:
            self._note(each)

    def _await_quiet(self):
        loud = self._pager.await_firing({WATCHDOG}, self._patience_seconds)
        assert loud == {WATCHDOG}, f"nothing is wrong any more, and yet {sorted(loud - {WATCHDOG})} fires"

    def _check_nothing_but(self, *names):
        """Of all that was told since this was last asked."""
        told = {notice.name for notice in self._pager.notices(self._looked_at) if notice.status == FIRING}
        strangers = told - {*names, WATCHDOG}
        assert not strangers, f"{sorted(strangers)} fired too"

    def _inject(self, injection, faults):
        ongoing = _Ongoing(injection, time.time(), faults.enter_context(ExitStack()))
        ongoing.fault.enter_context(injection.inject(self._stack))
        self._tell(f"  {injection.fault} …")
        return ongoing

    def _end_each_when_told(self, ongoing):
        deadline = time.monotonic() + self._patience_seconds
        left = list(ongoing)
        while left:
            self._pager.await_news(lambda: any(map(self._is_told, left)), deadline - time.monotonic())
            silent = [alert for each in left for alert in each.injection.fires if not self._has_fired(alert, each)]
            assert time.monotonic() < deadline, f"nobody was told of {silent}, but of {sorted(self._pager.firing())}"
            for each in filter(self._is_told, list(left)):
                self._tell(f"  {each.injection.fault}: told, after {time.time() - each.began_at:.0f} s")
                each.end()
                left.remove(each)

    def _is_told(self, ongoing):
        return all(self._has_fired(alert, ongoing) for alert in ongoing.injection.fires)

    def _has_fired(self, alert, ongoing):
        return any(each.status == FIRING for each in self._notices(alert, ongoing))

    def _notices(self, alert, ongoing):
        wanted = set(ongoing.injection.labels.items())
        notices = self._pager.notices(ongoing.began_at)
        return [notice for notice in notices if notice.name == alert and wanted <= notice.labels]

    def _note(self, ongoing):
        for alert in ongoing.injection.fires:
            notices = self._notices(alert, ongoing)
            fired_at = min(each.at for each in notices if each.status == FIRING)
            resolved_at = max(each.at for each in notices if each.status == RESOLVED)
            seen = Seen(alert, ongoing.injection.fault, fired_at - ongoing.began_at, resolved_at - ongoing.ended_at)
            self.evidence.append(seen)
            self._tell(f"  {alert}: told after {seen.notified_after:.0f} s, over after {seen.resolved_after:.0f} s")
