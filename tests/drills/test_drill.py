"""A round says so when an alert keeps silent, does not end, or comes unasked for."""

import contextlib

import pytest
import requests

from tests.drills.drill import WATCHDOG, Drill, Injection, Round
from tests.drills.pager import FIRING, RESOLVED, Pager

SOON = 0.5


@pytest.fixture
def pager():
    with contextlib.closing(Pager()) as pager:
        notify(pager, WATCHDOG, FIRING)
        yield pager


def notify(pager, alert, status, **labels):
    """As Alertmanager does."""
    body = {"status": status, "alerts": [{"status": status, "labels": {"alertname": alert, **labels}}]}
    requests.post(pager.url, json=body, timeout=10).raise_for_status()


def fault(*fires, ends=True, unasked=()):
    """An injection whose alerts are told at once, and their end too."""

    @contextlib.contextmanager
    def inject(pager):
        for alert in [*fires, *unasked]:
            notify(pager, alert, FIRING)
        yield
        for alert in [*fires, *unasked] if ends else []:
            notify(pager, alert, RESOLVED)

    return inject


def run(pager, *injections, may_fire=()):
    drill = Drill(pager, pager, lambda _line: None, SOON)
    drill.run(Round("a round", injections, dict.fromkeys(may_fire, "why")))
    return drill.evidence


def test_what_was_told_and_ended_is_evidence(pager):
    seen = run(pager, Injection("one", fault("A", "B"), ("A", "B")), Injection("other", fault("C"), ("C",)))
    assert [(each.alert, each.fault) for each in seen] == [("A", "one"), ("B", "one"), ("C", "other")]
    assert all(0 <= each.notified_after < 60 and 0 <= each.resolved_after < 60 for each in seen)


def test_an_alert_that_keeps_silent_fails_it(pager):
    with pytest.raises(AssertionError, match=r"nobody was told of \['B'\]"):
        run(pager, Injection("one", fault("A"), ("A", "B")))


def test_the_same_alert_of_another_fault_is_not_taken_for_its_own(pager):
    @contextlib.contextmanager
    def inject(pager):
        notify(pager, "A", FIRING, duty="one")
        yield
        notify(pager, "A", RESOLVED, duty="one")

    of_one, of_other = (Injection(duty, inject, ("A",), {"duty": duty}) for duty in ("one", "other"))
    assert [each.fault for each in run(pager, of_one)] == ["one"]
    with pytest.raises(AssertionError, match=r"nobody was told of \['A'\]"):
        run(pager, of_other)


def test_an_alert_that_does_not_end_fails_it(pager):
    with pytest.raises(AssertionError, match=r"yet \['A'\] fires"):
        run(pager, Injection("one", fault("A", ends=False), ("A",)))


def test_an_alert_that_nobody_named_fails_it(pager):
    injection = Injection("one", fault("A", unasked=["Z"]), ("A",))
    with pytest.raises(AssertionError, match=r"\['Z'\] fired too"):
        run(pager, injection)


def test_an_alert_that_may_fire_is_neither_evidence_nor_a_fault(pager):
    injection = Injection("one", fault("A", unasked=["Z"]), ("A",))
    assert [each.alert for each in run(pager, injection, may_fire=["Z"])] == ["A"]


def test_one_series_of_an_alert_that_goes_on_is_the_alert_going_on(pager):
    notify(pager, "A", FIRING, instance="one")
    notify(pager, "A", FIRING, instance="other")
    notify(pager, "A", RESOLVED, instance="one")
    assert pager.firing() == {WATCHDOG, "A"}
    notify(pager, "A", RESOLVED, instance="other")
    assert pager.firing() == {WATCHDOG}


def test_quiet_is_only_quiet_while_nothing_fires(pager):
    drill = Drill(pager, pager, lambda _line: None, SOON)
    drill.watch_quietly(0.1)
    notify(pager, "A", FIRING)
    notify(pager, "A", RESOLVED)
    with pytest.raises(AssertionError, match=r"\['A'\] fired too"):
        drill.watch_quietly(0.1)
