"""A drill: faults into a running stack, and what the pager is told of them. Whatever else it is told is a fault of ours."""

import time
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
    notified_after: float
    resolved_after: float


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

    def __init__(self, stack, pager, tell):
        self._stack = stack
        self._pager = pager
        self._tell = tell
        self.evidence = []

    def run(self, a_round):
        """Add the round's evidence to what there is. AssertionError if it is not all as it should be."""
        began_at = time.time()
        self._tell(f"{a_round.name}:")
        with ExitStack() as faults:
            ongoing = [self._inject(injection, faults) for injection in a_round.injections]
            for each in ongoing:
                self._tell(f"  {each.injection.fault} …")
            self._end_each_when_told(ongoing)
        still = self._pager.await_firing({WATCHDOG}, PATIENCE_SECONDS) - {WATCHDOG}
        assert not still, f"after the faults had ended {sorted(still)} did not"
        told = {notice.name for notice in self._pager.notices(began_at) if notice.status == FIRING}
        strangers = told - {*a_round.must_fire, *a_round.may_fire, WATCHDOG}
        assert not strangers, f"{sorted(strangers)} fired too"
        for each in ongoing:
            self._note(each)

    def _inject(self, injection, faults):
        ongoing = _Ongoing(injection, time.time(), faults.enter_context(ExitStack()))
        ongoing.fault.enter_context(injection.inject(self._stack))
        return ongoing

    def _end_each_when_told(self, ongoing):
        deadline = time.monotonic() + PATIENCE_SECONDS
        left = list(ongoing)
        while left:
            self._pager.await_news(lambda: any(map(self._is_told, left)), deadline - time.monotonic())
            silent = [alert for each in left for alert in each.injection.fires if not self._has_fired(alert, each)]
            assert time.monotonic() < deadline, f"nobody was told of {silent}, but of {sorted(self._pager.firing())}"
            for each in filter(self._is_told, list(left)):
                each.end()
                left.remove(each)

    def _is_told(self, ongoing):
        return all(self._has_fired(alert, ongoing) for alert in ongoing.injection.fires)

    def _has_fired(self, alert, ongoing):
        return any(each.status == FIRING for each in self._notices(alert, ongoing))

    def _notices(self, alert, ongoing):
        return [notice for notice in self._pager.notices(ongoing.began_at) if notice.name == alert]

    def _note(self, ongoing):
        for alert in ongoing.injection.fires:
            notices = self._notices(alert, ongoing)
            fired_at = min(each.at for each in notices if each.status == FIRING)
            resolved_at = max(each.at for each in notices if each.status == RESOLVED)
            seen = Seen(alert, ongoing.injection.fault, fired_at - ongoing.began_at, resolved_at - ongoing.ended_at)
            self.evidence.append(seen)
            self._tell(f"  {alert}: told after {seen.notified_after:.0f} s, over after {seen.resolved_after:.0f} s")
