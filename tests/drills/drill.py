"""A drill: faults into a running stack, and what the pager is told of them. Whatever else it is told is a fault of ours."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from tests.drills.pager import FIRING, RESOLVED
from tests.drills.stack import Stack

WATCHDOG = "ScaiVaultWatchdog"
PATIENCE_SECONDS = 120


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
        return [alert for injection in self.injections for alert in injection.fires]


@dataclass(frozen=True)
class Seen:
    """A line of evidence: an alert that was delivered, and its end."""

    alert: str
    fault: str
    notified_after: float
    resolved_after: float


class Drill:
    """Rounds on one stack, one after the other; `tell` hears how it goes."""

    def __init__(self, stack, pager, tell):
        self._stack = stack
        self._pager = pager
        self._tell = tell
        self.evidence = []

    def run(self, a_round):
        """The round's evidence, which is added to what there is. AssertionError if it is not all as it should be."""
        began_at, injected_at = time.time(), {}
        self._tell(f"{a_round.name}: {', '.join(each.fault for each in a_round.injections)}")
        with ExitStack() as faults:
            for injection in a_round.injections:
                injected_at[injection] = time.time()
                faults.enter_context(injection.inject(self._stack))
            silent = self._pager.await_told(a_round.must_fire, FIRING, began_at, PATIENCE_SECONDS)
            assert not silent, f"{a_round.name}: nobody was told of {sorted(silent)}, but of {self._pager.firing()}"
            healed_at = time.time()
        still = self._pager.await_firing({WATCHDOG}, PATIENCE_SECONDS) - {WATCHDOG}
        assert not still, f"{a_round.name}: after the faults had ended {sorted(still)} did not"
        self._check_nothing_else(a_round, began_at)
        for injection in a_round.injections:
            for alert in injection.fires:
                self._note(alert, injection, injected_at[injection], healed_at)

    def _check_nothing_else(self, a_round, began_at):
        told = {notice.name for notice in self._pager.notices(began_at) if notice.status == FIRING}
        strangers = told - {*a_round.must_fire, *a_round.may_fire, WATCHDOG}
        assert not strangers, f"{a_round.name}: {sorted(strangers)} fired too"

    def _note(self, alert, injection, injected_at, healed_at):
        notices = [each for each in self._pager.notices(injected_at) if each.name == alert]
        fired_at = min(each.at for each in notices if each.status == FIRING)
        resolved_at = max(each.at for each in notices if each.status == RESOLVED)
        seen = Seen(alert, injection.fault, fired_at - injected_at, resolved_at - healed_at)
        self.evidence.append(seen)
        self._tell(f"  {alert}: told after {seen.notified_after:.0f} s, over after {seen.resolved_after:.0f} s")
