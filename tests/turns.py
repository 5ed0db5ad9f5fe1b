"""Which of several test processes runs what: whole files, the longest first, and together what shares something costly.

What is long and begun last is waited for by one process while the others have nothing left to do.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

# Those of more than a quarter of a minute, by how long they take.
LONGEST = (
    "tests/drills/test_drills.py",
    "tests/deploy/test_dev_supervisor.py",
    "tests/faults/test_key_rotation.py",
    "tests/faults/test_drain.py",
    "tests/deploy/test_chart_runs.py",
    "tests/faults/test_metrics_churn.py",
    "tests/faults/test_pollers.py",
    "tests/faults/test_worker.py",
    "tests/faults/test_dependencies.py",
    "tests/faults/test_tracing.py",
    "tests/http/test_trusts.py",
    "tests/http/test_directory.py",
    "tests/security/test_json_web_tokens.py",
    "tests/http/test_directory_sync.py",
    "tests/http/test_subscriptions.py",
    "tests/http/test_policies.py",
    "tests/contract/test_rules.py",
    "tests/storage/test_subscription_buffers.py",
)
# Both start what the Dockerfile builds, which takes longer than most of what they try.
TOGETHER = {"tests/deploy/test_wheel.py": "tests/deploy/test_chart_runs.py"}


class LongestFirst(LoadFileScheduling):
    """Files in the order in which they are collected."""

    def __init__(self, config, log):
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return TOGETHER.get(file, file)


def turn(file):
    file = TOGETHER.get(file, file)
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return LongestFirst(config, log) if config.option.dist == "loadfile" else None
