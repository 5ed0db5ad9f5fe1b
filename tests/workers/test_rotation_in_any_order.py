"""Whatever happens in whichever order: for one due time one rotation, and one next due time while a policy is in force."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.workers.scheduling import POLICIES, site_of

PATH = "app/db"
A_WHILE = timedelta(days=150)  # for as long as this the trail has months, and a token lives


class Life(RuleBasedStateMachine):
    """One secret under one policy, with two workers, one of which may die with what it has taken."""

    def __init__(self, site):
        super().__init__()
        self.site = site
        self.workers = [site.scheduler, site.another_scheduler()]
        self.interval = timedelta(days=30)
        self.began = site.clock.now()
        self.versions_without_rotation = 1
        self.is_active, self.is_assigned, self.is_deleted = True, True, False

    @initialize(auto_generate=st.booleans())
    def begin(self, auto_generate):
        maker = self.site.secret_policy()
        self.policy = self.site.policy(auto_generate=auto_generate, secret_policy_id=maker, warn_before="7d,1d")
        self.auto_generate = auto_generate
        self.site.under(PATH, self.policy)

    def teardown(self):
        self.site.clock.instant = self.began
        for statement in (
            "DELETE FROM secrets",
            "DELETE FROM rotation_policies",
            "DELETE FROM secret_policies",
            "DELETE FROM rotation_history",
            "DELETE FROM events",
        ):
            self.site.run(statement)

    @rule(hours=st.sampled_from([1, 20, 24 * 6, 24 * 23, 24 * 31]))
    def time_passes(self, hours):
        if self.site.clock.now() + timedelta(hours=hours) < self.began + A_WHILE:
            self.site.clock.forward(hours=hours)

    @rule(which=st.integers(0, 1))
    def a_worker_works(self, which):
        self.site.work(self.workers[which])
        due = "SELECT count(*) FROM secret_rotations WHERE wake_at <= %s AND NOT is_deleted"
        assert self.site.rows(due, self.site.clock.now()) == [(0,)]

    @rule(which=st.integers(0, 1))
    def a_worker_dies_with_what_it_has_taken(self, which):
        self.workers[which]._take("tnt_a")

    @rule(which=st.integers(0, 1))
    def a_slow_worker_goes_on_when_its_lease_has_ended(self, which):
        self.time_passes(24 * 31)
        _, taken = self.workers[which]._take("tnt_a")
        self.site.clock.forward(minutes=3)
        self.site.work(self.workers[1 - which])
        self.workers[which]._rotate("tnt_a", taken)

    @precondition(lambda self: not self.is_deleted)
    @rule()
    def somebody_writes(self):
        self.site.voice.write(PATH, {"password": "another"})
        self.versions_without_rotation += not self.is_assigned

    @precondition(lambda self: not self.is_deleted and self.is_assigned)
    @rule()
    def somebody_rotates(self):
        assert self.site.voice.post(f"/v1/secrets/{PATH}:rotate").status_code == 200

    @precondition(lambda self: not self.is_deleted)
    @rule()
    def it_is_assigned_or_not(self):
        self.is_assigned = not self.is_assigned
        options = {"rotation_policy_id": self.policy if self.is_assigned else None}
        changed = self.site.voice.patch(f"/v1/secrets/{PATH}:metadata", {"options": options})
        assert changed.status_code == 200

    @rule()
    def the_policy_is_paused_or_not(self):
        self.is_active = not self.is_active
        changed = self.site.voice.post(f"{POLICIES}/{self.policy}/{'enable' if self.is_active else 'disable'}")
        assert changed.status_code == 200

    @rule(days=st.sampled_from([10, 30, 60]))
    def the_interval_changes(self, days):
        self.interval = timedelta(days=days)
        assert self.site.voice.patch(f"{POLICIES}/{self.policy}", {"interval": f"{days}d"}).status_code == 200

    @rule()
    def it_is_deleted_or_recovered(self):
        if self.is_deleted and self.site.voice.post(f"/v1/secrets/{PATH}:recover").status_code == 404:
            return  # its retention is over: it is in the trash for ever
        if not self.is_deleted:
            assert self.site.voice.delete(f"/v1/secrets/{PATH}").status_code == 200
        self.is_deleted = not self.is_deleted

    @invariant()
    def there_is_one_next_due_time_while_it_is_assigned_and_active(self):
        found = self.site.rows("SELECT counts_from, state, due_at, wake_at FROM secret_rotations WHERE path = %s", PATH)
        if not self.is_assigned or (self.is_deleted and not found):
            assert found == []
            return
        [(counts_from, state, due_at, wake_at)] = found
        if self.is_active:
            # Later, if it was a change that made it due, and before it was: then it was due at once.
            assert counts_from + self.interval <= due_at <= max(counts_from + self.interval, self.site.clock.now())
            assert (wake_at is not None) or state == "overdue"
            assert wake_at is None or wake_at <= max(due_at, self.site.clock.now()) + timedelta(days=2)
        else:
            assert (state, due_at, wake_at) == ("paused", None, None)

    @invariant()
    def no_due_time_has_two_rotations(self):
        rotated = "SELECT count(*), count(DISTINCT due_at) FROM rotation_history WHERE status = 'success'"
        [(by_schedule, due_times)] = self.site.rows(f"{rotated} AND triggered_by = 'schedule'")
        assert by_schedule == due_times
        assert self.auto_generate or by_schedule == 0
        early = "SELECT count(*) FROM rotation_history WHERE triggered_by = 'schedule' AND started_at < due_at"
        assert self.site.rows(early) == [(0,)]

    @invariant()
    def every_version_is_a_write_or_a_rotation_that_is_in_the_history(self):
        [(rotations,)] = self.site.rows("SELECT count(*) FROM rotation_history WHERE status = 'success'")
        found = self.site.rows("SELECT current_version FROM secrets WHERE path = %s", PATH)
        assert found in ([], [(self.versions_without_rotation + rotations,)])


@pytest.fixture
def site(house, ada):
    with site_of(house, ada) as made:
        yield made


def test_whatever_happens(site):
    run_state_machine_as_test(
        lambda: Life(site),
        settings=settings(
            max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
