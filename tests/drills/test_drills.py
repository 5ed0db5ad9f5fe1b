"""Every alert, fired by a real fault in the real stack and delivered by a real Alertmanager, and its end.

In this order: nothing fires while all is well, every runbook's first command says something, then the faults, and in the
end every panel has something to show.
"""

import contextlib
import itertools
import math

import pytest

from tests.drills import evidence, runbooks
from tests.drills.drill import WATCHDOG, Drill
from tests.drills.load import everyday
from tests.drills.monitoring import watched
from tests.drills.pager import Pager
from tests.drills.rounds import ROUNDS
from tests.drills.stack import CHECKOUT, started
from tests.kms import aws
from tests.waiting import await_true
from tools.monitoring import dashboards
from tools.monitoring.rules import ALERTS, Pace, files

# Five minutes are six seconds, six hours 24.
PACE = Pace(900, 6)
RATE_INTERVAL = "6s"
# Longer than any window that must be empty again for an alert to end.
HEALTHY_SECONDS = 30
PATIENCE_SECONDS = 60
PANELS = {
    f"{uid}: {title}": [expression for _, _, expression in queries]
    for (uid, title), queries in itertools.groupby(dashboards.queries(RATE_INTERVAL), lambda query: query[:2])
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
def monitoring(stack, pager, alertmanager, tmp_path_factory):
    folder = tmp_path_factory.mktemp("monitoring")
    with everyday(stack), watched(folder, stack, files(PACE), pager, alertmanager) as monitoring:
        yield monitoring


@pytest.fixture(scope="module")
def drill(monitoring, stack, pager, request):
    """Whoever wants to keep what it has seen, and hear of it meanwhile, is a plugin of this name (`make drill`)."""
    keeper = request.config.pluginmanager.get_plugin("keeper")
    drill = Drill(stack, pager, keeper.tell if keeper else lambda _line: None)
    yield drill
    if keeper:
        keeper.keep(drill, PACE)


def test_every_alert_is_drilled():
    drilled = [alert for a_round in ROUNDS for injection in a_round.injections for alert in injection.fires]
    assert {*drilled, WATCHDOG} == {alert.name for alert in ALERTS}


def test_the_evidence_is_of_these_alerts():
    written = evidence.alerts_in((CHECKOUT / evidence.PAGE).read_text())
    assert set(written) == {alert.name for alert in ALERTS}


def test_nothing_fires_while_a_healthy_vault_is_used(drill, monitoring):
    drill.watch_quietly(HEALTHY_SECONDS)
    [answered] = monitoring.values(f'sum(increase(scaivault_requests_total{{status=~"2.."}}[{HEALTHY_SECONDS}s]))')
    assert answered > 10 * HEALTHY_SECONDS
    drill.counted[f"requests answered in {HEALTHY_SECONDS} s in which nothing but the watchdog fired"] += round(
        answered
    )


@pytest.mark.parametrize("runbook", sorted(runbooks.FOLDER.glob("ScaiVault*.md")), ids=lambda runbook: runbook.stem)
def test_first_command_of_the_runbook(runbook, stack, monitoring, drill):
    ended = runbooks.run(runbooks.first_command(runbook), stack, monitoring)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.strip()
    drill.counted["runbooks whose first command said something and ended with 0"] += 1


@pytest.mark.parametrize("a_round", ROUNDS, ids=lambda a_round: a_round.name)
def test_alerts_tell_of(a_round, drill):
    drill.run(a_round)


@pytest.mark.parametrize("panel", PANELS)
def test_panel_has_data(panel, monitoring, drill):
    for expression in PANELS[panel]:
        await_true(lambda query=expression: any(map(math.isfinite, monitoring.values(query))), PATIENCE_SECONDS)
        drill.counted["queries of panels that returned data"] += 1
