"""Every alert, fired by a real fault on the real stack and delivered by a real Alertmanager, and its end."""

import contextlib

import pytest

from tests.drills.drill import WATCHDOG, Drill
from tests.drills.load import Load
from tests.drills.monitoring import watched
from tests.drills.pager import Pager
from tests.drills.rounds import ROUNDS
from tests.drills.stack import started
from tests.kms import aws

RULES = {
    "rules.yml": """
groups:
  - name: x
    rules:
      - alert: ScaiVaultWatchdog
        expr: vector(1)
      - alert: ScaiVaultDown
        expr: up{job="scaivault"} == 0
        for: 5s
      - alert: ScaiVaultKmsSlow
        expr: histogram_quantile(0.95, sum by (le, operation) (rate(scaivault_kms_latency_seconds_bucket[6s]))) > 0.5
        for: 5s
"""
}


@pytest.fixture(scope="module")
def pager():
    with contextlib.closing(Pager()) as pager:
        yield pager


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        for name, value in aws.CREDENTIALS.items():
            environment.setenv(name, value)
        with started(tmp_path_factory.mktemp("drills") / "dev") as stack:
            yield stack


@pytest.fixture(scope="module")
def monitoring(stack, pager, tmp_path_factory):
    load = Load(stack)
    load.start()
    with contextlib.ExitStack() as ending:
        ending.callback(load.stop)
        yield ending.enter_context(watched(tmp_path_factory.mktemp("monitoring"), stack, RULES, pager))


@pytest.fixture(scope="module")
def drill(monitoring, stack, pager):
    assert pager.await_firing({WATCHDOG}, 60) == {WATCHDOG}
    return Drill(stack, pager, print)


@pytest.mark.parametrize("a_round", ROUNDS, ids=lambda a_round: a_round.name)
def test_round(drill, a_round):
    drill.run(a_round)
