"""What a request has no time for is said, and left as it was."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from scaivault.bootstrap.base import renewal_of
from scaivault.features.generators.service.generation import GenerationService
from scaivault.features.rotation.model import LONGEST_AT_ONCE
from scaivault.features.rotation.service.rotations import RotationService
from tests.storage.audit_house import caller
from tests.workers.scheduling import site_of


class Willing:
    """A Guard that lets everybody."""

    def require(self, caller, permission, path):
        pass

    def reach(self, caller, permission):
        return SimpleNamespace(covers=lambda _path: True)


class Ticking:
    """Seconds that pass with each look at them."""

    def __init__(self, step):
        self._now, self._step = 0.0, step

    def __call__(self):
        self._now += self._step
        return self._now


@pytest.fixture
def site(house, ada):
    with site_of(house, ada) as made:
        yield made


def test_whose_turn_does_not_come_in_time_is_told_and_left_as_it_was(site):
    one = site.policy(secret_policy_id=site.secret_policy())
    for number in range(5):
        site.under(f"app/{number}", one)
    base = site.base
    service = RotationService(
        base.database,
        base.journal,
        Willing(),
        base.clock,
        renewal_of(base),
        GenerationService(base.database, base.clock),
        base.instruments.secret_rotation,
        Ticking((LONGEST_AT_ONCE + timedelta(seconds=1)).total_seconds() / 3),
    )
    who = caller("tnt_a")
    who = replace(who, principal=replace(who.principal, partner_id="ptn_test"))
    items = service.rotate_all(who, one, None)
    assert [(each.status.value, each.reason, each.attempts) for each in items] == [
        ("success", None, 1),
        ("success", None, 1),
        *[("failed", "out_of_time", 0)] * 3,
    ]
    assert [site.version(f"app/{number}") for number in range(5)] == [2, 2, 1, 1, 1]
