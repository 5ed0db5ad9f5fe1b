"""Every alert, fired by a real fault in the real stack and delivered by a real Alertmanager, and its end."""

import contextlib

import pytest

from tests.drills.drill import WATCHDOG, Drill
from tests.drills.load import everyday
from tests.drills.monitoring import watched
from tests.drills.pager import Pager
from tests.drills.rounds import ROUNDS
from tests.drills.stack import started
from tests.kms import aws
from tools.monitoring.rules import Pace, files

# Five minutes are six seconds, six hours 24.
PACE = Pace(900, 6)


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
    with everyday(stack), watched(tmp_path_factory.mktemp("monitoring"), stack, files(PACE), pager) as monitoring:
        yield monitoring


@pytest.fixture(scope="module")
def drill(monitoring, stack, pager):
    assert pager.await_firing({WATCHDOG}, 60) == {WATCHDOG}
    return Drill(stack, pager, print)


@pytest.mark.parametrize("a_round", ROUNDS, ids=lambda a_round: a_round.name)
def test_round(drill, a_round):
    drill.run(a_round)
