"""What falls due is done: warnings once each, rotations once for each due time, reminders to who must write."""

from dataclasses import replace
from datetime import timedelta

import pytest

from scaivault.bootstrap.base import renewal_of
from scaivault.bootstrap.worker import scheduler_of
from scaivault.crypto.errors import KeyServiceAway
from scaivault.features.rotation.service.scheduler import _caller
from scaivault.features.secrets.errors import VersionConflict
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.renewal import Trigger
from scaivault.observability.exposition import append
from tests.workers.scheduling import POLICIES, site_of


@pytest.fixture
def site(house, ada):
    with site_of(house, ada) as made:
        yield made


def spelled(instant):
    return f"{instant:%Y-%m-%dT%H:%M:%S.%f}Z"


class TestWarnings:
    def test_each_threshold_is_told_once(self, site):
        site.listen()
        one = site.policy(warn_before="7d,1d")
        site.under("app/db", one)
        told = []
        for _ in range(60):
            site.forward(hours=12)
            told = [(each["data"].get("threshold"), each["data"]["due_now"]) for each in site.events("rotation.due")]
        assert told == [("7d", False), ("1d", False), (None, True)]

    def test_of_two_that_were_missed_the_nearer_one_is_news(self, site):
        site.listen()
        site.under("app/db", site.policy(warn_before="7d,1d"))
        site.forward(days=29, hours=12)
        assert [each["data"]["threshold"] for each in site.events("rotation.due")] == ["1d"]

    def test_it_says_what_by_which_policy_and_when(self, site):
        site.listen()
        one = site.policy(warn_before="7d")
        began = site.clock.now()
        site.under("app/db", one, secret_policy_id=site.secret_policy())
        site.forward(days=23)
        [event] = site.events("rotation.due")
        assert (event["path"], event["identity_id"]) == ("app/db", "system:rotation-scheduler")
        assert event["data"] == {
            "rotation_policy_id": one,
            "rotation_policy_name": "monthly",
            "due_at": spelled(began + timedelta(days=30)),
            "version": 1,
            "auto_generate": False,
            "due_now": False,
            "warn_before": "7d",
            "threshold": "7d",
        }


class TestGenerating:
    def test_at_the_due_time_there_is_a_new_version(self, site):
        site.listen()
        one = site.policy(auto_generate=True, secret_policy_id=site.secret_policy(), grace_period="2h")
        site.under("app/db", one)
        site.forward(days=29)
        assert site.version() == 1
        site.forward(days=1)
        now = site.clock.now()
        assert site.version() == 2
        assert len(site.voice.get("/v1/secrets/app/db").json["data"]["password"]) == 24
        assert site.schedule() == ("scheduled", now + timedelta(days=30), now + timedelta(days=30))
        updated, rotated, completed = site.events()[-3:]
        assert (updated["event_type"], updated["data"]["is_rotation"]) == ("secret.updated", True)
        assert rotated["data"] == {
            "old_version": 1,
            "new_version": 2,
            "rotation_policy_id": one,
            "rotation_policy_name": "monthly",
            "grace_period_ends": spelled(now + timedelta(hours=2)),
            "auto_generated": True,
        }
        assert completed["event_type"] == "rotation.completed"
        assert completed["data"]["next_rotation_at"] == spelled(now + timedelta(days=30))
        [item] = site.history(one)
        assert (item["status"], item["triggered_by"], item["rotated_by"]) == (
            "success",
            "schedule",
            "system:rotation-scheduler",
        )
        [entry] = site.voice.audit(action="rotate")
        assert (entry["identity_id"], entry["identity_type"]) == ("system:rotation-scheduler", "system")

    def test_a_worker_that_was_away_for_long_does_it_once(self, site):
        site.under("app/db", site.policy(auto_generate=True, secret_policy_id=site.secret_policy()))
        site.forward(days=100)
        assert site.version() == 2

    def test_what_was_replaced_ends_with_the_grace_period(self, site):
        site.under("app/db", site.policy(auto_generate=True, secret_policy_id=site.secret_policy(), grace_period="2h"))
        site.forward(days=30)
        assert site.voice.get("/v1/secrets/app/db", query_string={"version": 1}).status_code == 200
        site.forward(hours=2)
        assert site.voice.get("/v1/secrets/app/db", query_string={"version": 1}).status_code == 404

    def test_of_two_that_took_the_same_secret_one_rotates_it(self, site):
        site.under("app/db", site.policy(auto_generate=True, secret_policy_id=site.secret_policy()))
        site.clock.forward(days=30)
        slow = site.another_scheduler()
        _, taken = slow._take("tnt_a")
        assert site.schedule()[0] == "scheduled"
        site.work()
        assert site.version() == 1  # it is under the slow one's lease
        site.forward(minutes=3)
        assert site.version() == 2
        slow._rotate("tnt_a", taken)
        assert site.version() == 2

    def test_a_write_between_taking_and_rotating_is_the_rotation(self, site):
        one = site.policy(auto_generate=True, secret_policy_id=site.secret_policy())
        site.under("app/db", one)
        site.clock.forward(days=30)
        _, taken = site.scheduler._take("tnt_a")
        site.voice.write("app/db", {"password": "mine"})
        site.scheduler._rotate("tnt_a", taken)
        assert site.voice.get("/v1/secrets/app/db").json["data"] == {"password": "mine"}
        assert [each["triggered_by"] for each in site.history(one)] == ["write"]


class Interrupted:
    """A journal before whose first operation something happens."""

    def __init__(self, journal, happens):
        self._journal, self._happens = journal, [happens]

    def operation(self, *of_what, **how):
        if self._happens:
            self._happens.pop()()
        return self._journal.operation(*of_what, **how)

    def record(self, tx, entry):
        self._journal.record(tx, entry)

    def record_alone(self, entry):
        self._journal.record_alone(entry)


class NoKeys:
    """A key ring whose key service is away."""

    def for_tenant(self, _partner_id, _tenant_id):
        raise KeyServiceAway

    def forget(self, _tenant_id):
        pass


class TestFieldsThatAreNotGenerated:
    @pytest.fixture
    def one(self, site):
        """A policy that renews app/db, which is due, at its second version."""
        for number in (1, 2):
            site.voice.write("app/db", {"password": "chosen", "user": f"user {number}"})
        one = site.policy(auto_generate=True, secret_policy_id=site.secret_policy())
        changed = site.voice.patch("/v1/secrets/app/db:metadata", {"options": {"rotation_policy_id": one}})
        assert changed.status_code == 200, changed.text
        site.clock.forward(days=30)
        return one

    def data(self, site, path="app/db"):
        return site.voice.get(f"/v1/secrets/{path}").json["data"]

    def roll_back(self, site):
        assert site.voice.post("/v1/secrets/app/db:rollback", {"version": 1}).json["version"] == 3

    def test_they_stay(self, site, one):
        site.work()
        assert site.version() == 3
        data = self.data(site)
        assert (data["user"], len(data["password"])) == ("user 2", 24)
        assert [each["status"] for each in site.history(one)] == ["success"]

    def test_none_of_a_version_that_is_not_the_present_one_any_more(self, site, one):
        journal = Interrupted(site.base.journal, lambda: self.roll_back(site))
        site.work(scheduler_of(replace(site.base, journal=journal)))
        assert self.data(site) == {"password": "chosen", "user": "user 1"}
        assert site.history(one) == []
        site.forward(minutes=3)  # when the lease has ended, it is due again
        assert site.version() == 4
        assert self.data(site)["user"] == "user 1"
        assert self.data(site)["password"] != "chosen"

    def test_who_asked_for_it_hears_of_a_write_between(self, site, one):
        journal = Interrupted(site.base.journal, lambda: self.roll_back(site))
        renewal = renewal_of(replace(site.base, journal=journal))
        _, [taken] = site.scheduler._take("tnt_a")
        values = {SecretPath("app/db"): Plaintext(b'{"password":"new"}')}
        with pytest.raises(VersionConflict):
            renewal.renew(_caller(taken, site.clock.now()), values, Trigger.REQUEST, lambda _tx, _secrets: ["app/db"])
        assert self.data(site) == {"password": "chosen", "user": "user 1"}

    def test_none_of_another_secret_that_had_its_path_before(self, site, one):
        def begin_anew():
            assert site.voice.delete("/v1/secrets/app/db", query_string={"permanent": "true"}).status_code < 300
            site.clock.forward(seconds=1)
            for _ in range(2):
                site.voice.write("app/db", {"password": "another"})

        renewal = renewal_of(replace(site.base, journal=Interrupted(site.base.journal, begin_anew)))
        _, [taken] = site.scheduler._take("tnt_a")
        values = {SecretPath("app/db"): Plaintext(b'{"password":"new"}')}
        with pytest.raises(VersionConflict):
            renewal.renew(_caller(taken, site.clock.now()), values, Trigger.REQUEST, lambda _tx, _secrets: ["app/db"])
        assert self.data(site) == {"password": "another"}

    def test_a_key_service_that_is_away_costs_none(self, site, one):
        with pytest.raises(KeyServiceAway):
            scheduler_of(replace(site.base, ring=NoKeys())).run()
        assert (site.version(), site.history(one)) == (2, [])
        site.forward(minutes=3)
        assert self.data(site)["user"] == "user 2"
        assert site.version() == 3

    def test_a_damaged_one_fails_alone_and_stays(self, site, one):
        site.under("app/other", one, max_versions=3)
        site.run(
            "UPDATE secret_versions SET sealed = overlay(sealed placing '\\x0000' from 30)"
            " WHERE path = 'app/db' AND version = 2"
        )
        site.clock.forward(days=30)
        site.work()
        assert (site.version(), site.version("app/other")) == (2, 2)
        [failed] = site.history(one, status="failed")
        assert (failed["secret_path"], failed["error_code"]) == ("app/db", "unreadable")


class TestWaiting:
    def test_who_must_write_is_told_and_then_reminded_once(self, site):
        site.listen()
        one = site.policy(grace_period="2d")
        site.under("app/db", one)
        site.forward(days=30)
        [due] = site.events("rotation.due")
        assert due["data"]["due_now"] is True
        assert [each["status"] for each in site.history(one)] == ["pending"]
        site.forward(days=1)
        assert site.events("rotation.overdue") == []
        for _ in range(4):
            site.forward(days=1)
        [overdue] = site.events("rotation.overdue")
        assert overdue["data"]["rotation_policy_id"] == one
        assert len(site.events("rotation.due")) == 1
        [found] = site.voice.get("/v1/rotation/due").json["secrets"]
        assert (found["state"], found["is_overdue"]) == ("overdue", True)

    def test_a_write_is_what_was_waited_for(self, site):
        site.listen()
        one = site.policy()
        site.under("app/db", one)
        site.forward(days=40)
        site.voice.write("app/db", {"password": "second"})
        [rotated] = site.events("secret.rotated")
        assert (rotated["data"]["auto_generated"], rotated["identity_id"]) == (False, "user:ada@a.example")
        [item] = site.history(one)
        assert (item["status"], item["triggered_by"], item["new_version"]) == ("success", "write", 2)
        assert site.schedule()[:2] == ("scheduled", site.clock.now() + timedelta(days=30))

    def test_a_deleted_secret_leaves_nothing_that_waits(self, site):
        one = site.policy()
        site.under("app/db", one)
        site.forward(days=30)
        site.voice.delete("/v1/secrets/app/db", query_string={"permanent": "true"})
        assert site.history(one) == []


class TestFailing:
    @pytest.fixture
    def failing(self, site):
        secret_policy = site.secret_policy(is_active=False)
        one = site.policy(auto_generate=True, secret_policy_id=secret_policy, grace_period="2d")
        site.listen()
        site.under("app/db", one)
        site.forward(days=30)
        return one, secret_policy

    def test_it_is_noted_told_and_tried_again_later(self, site, failing):
        one, _ = failing
        [item] = site.history(one)
        assert (item["status"], item["error_code"], item["attempts"]) == ("failed", "secret_policy_inactive", 1)
        [event] = site.events("rotation.failed")
        assert (event["data"]["error"], event["data"]["attempts"]) == ("secret_policy_inactive", 1)
        [entry] = site.voice.audit(action="rotate")
        assert (entry["success"], entry["extra_data"]["reason"]) == (False, "secret_policy_inactive")
        assert site.schedule()[2] >= site.clock.now() + timedelta(minutes=1)
        site.work()
        assert len(site.events("rotation.failed")) == 1
        site.forward(minutes=2)
        assert len(site.events("rotation.failed")) == 2
        [item] = site.history(one)
        assert item["attempts"] == 2

    def test_it_becomes_overdue_and_is_tried_all_the_same(self, site, failing):
        one, secret_policy = failing
        for _ in range(6):
            site.forward(hours=12)
        assert len(site.events("rotation.overdue")) == 1
        assert site.schedule()[0] == "overdue"
        site.voice.patch(f"/v1/secret-policies/{secret_policy}", {"is_active": True})
        site.forward(hours=12)
        assert (site.version(), site.schedule()[0]) == (2, "scheduled")
        assert [each["status"] for each in site.history(one)] == ["success", "failed"]

    def test_it_is_overdue_at_the_end_of_its_grace_period_and_not_when_a_pause_ends(self, site, failing):
        end = site.clock.now() + timedelta(days=2)
        while site.schedule()[2] < end:
            site.forward(seconds=(site.schedule()[2] - site.clock.now()).total_seconds())
        assert (site.schedule()[0], site.schedule()[2]) == ("scheduled", end)
        site.forward(seconds=(end - site.clock.now()).total_seconds())
        assert site.schedule()[0] == "overdue"
        assert len(site.events("rotation.overdue")) == 1

    def test_activating_its_secret_policy_is_followed_by_an_attempt_at_once(self, site, failing):
        _, secret_policy = failing
        for _ in range(6):
            site.forward(hours=3)
        site.voice.patch(f"/v1/secret-policies/{secret_policy}", {"is_active": True})
        site.work()
        assert (site.version(), site.schedule()[0]) == (2, "scheduled")

    def test_another_secret_policy_is_tried_at_once_and_failing_begins_anew(self, site, failing):
        one, _ = failing
        for _ in range(6):
            site.forward(hours=3)
        site.voice.patch(f"{POLICIES}/{one}", {"secret_policy_id": site.secret_policy("b", is_active=False)})
        site.work()
        assert site.schedule()[2] <= site.clock.now() + timedelta(seconds=72)
        site.voice.patch(f"{POLICIES}/{one}", {"secret_policy_id": site.secret_policy("c")})
        site.work()
        assert site.version() == 2

    def test_what_is_due_says_that_it_is_failing(self, site, failing):
        site.forward(minutes=2)
        [due] = site.voice.get("/v1/rotation/due").json["secrets"]
        assert (due["attempts"], due["error_code"]) == (2, "secret_policy_inactive")
        assert due["next_attempt_at"] == spelled(site.schedule()[2])

    def test_it_holds_up_none_of_the_others(self, site, failing):
        good = site.policy("good", auto_generate=True, secret_policy_id=site.secret_policy("good"))
        for number in range(30):
            site.under(f"app/{number}", good)
        site.forward(days=30)
        assert {site.version(f"app/{number}") for number in range(30)} == {2}

    def test_without_a_secret_policy_there_is_nothing_to_make_it_by(self, site):
        one = site.policy(auto_generate=True)
        site.under("app/db", one)
        site.forward(days=30)
        assert [each["error_code"] for each in site.history(one)] == ["no_secret_policy"]

    def test_it_is_counted(self, site, failing):
        body, content_type = site.base.instruments.render("")
        assert b'scaivault_secret_rotations_total{status="failed"} 1.0' in append(body, content_type, [])


class TestPolicies:
    def test_a_paused_one_renews_nothing_and_goes_on_where_it_was(self, site):
        site.listen()
        one = site.policy(auto_generate=True, secret_policy_id=site.secret_policy(), warn_before="7d")
        site.under("app/db", one)
        site.voice.post(f"{POLICIES}/{one}/disable")
        assert site.schedule() == ("paused", None, None)
        site.forward(days=40)
        assert (site.version(), site.events("rotation.due")) == (1, [])
        site.voice.post(f"{POLICIES}/{one}/enable")
        site.work()
        assert (site.version(), site.events("rotation.due")) == (2, [])

    @pytest.mark.parametrize("is_told_before", [False, True], ids=["due in the pause", "overdue before it"])
    def test_what_is_due_when_a_pause_ends_has_its_grace_period_before_it(self, site, is_told_before):
        site.listen()
        one = site.policy(grace_period="2d")
        site.under("app/db", one)
        if is_told_before:
            site.forward(days=30)
            site.forward(days=3)
        told = len(site.events("rotation.overdue"))
        site.voice.post(f"{POLICIES}/{one}/disable")
        assert site.history(one, status="pending") == []
        site.forward(days=40)
        site.voice.post(f"{POLICIES}/{one}/enable")
        site.work()
        assert site.events("rotation.due")[-1]["data"]["grace_period_ends"] == spelled(
            site.clock.now() + timedelta(days=2)
        )
        assert len(site.events("rotation.overdue")) == told
        site.forward(days=2)
        assert len(site.events("rotation.overdue")) == told + 1

    def test_a_shorter_interval_makes_due_now_and_nothing_overdue(self, site):
        site.listen()
        one = site.policy(interval="365d", grace_period="2d")
        site.under("app/db", one)
        site.forward(days=120)
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "30d"})
        site.work()
        [due] = site.events("rotation.due")
        assert due["data"]["due_at"] == spelled(site.clock.now())
        assert site.events("rotation.overdue") == []
        [found] = site.voice.get("/v1/rotation/due").json["secrets"]
        assert (found["state"], found["overdue_at"]) == ("awaited", spelled(site.clock.now() + timedelta(days=2)))

    def test_a_longer_grace_period_ends_what_was_overdue(self, site):
        one = site.policy(grace_period="2d")
        site.under("app/db", one)
        site.forward(days=30)
        site.forward(days=3)
        site.voice.patch(f"{POLICIES}/{one}", {"grace_period": "9d"})
        [found] = site.voice.get("/v1/rotation/due").json["secrets"]
        assert (found["state"], found["is_overdue"]) == ("awaited", False)
        assert found["overdue_at"] > spelled(site.clock.now())

    def test_what_was_waited_for_is_one_line_though_a_worker_does_it_at_last(self, site):
        maker = site.secret_policy(is_active=False)
        one = site.policy(secret_policy_id=maker)
        site.under("app/db", one)
        site.forward(days=30)
        site.voice.patch(f"{POLICIES}/{one}", {"auto_generate": True})
        site.work()
        assert [each["status"] for each in site.history(one)] == ["failed"]
        [due] = site.voice.get("/v1/rotation/due").json["secrets"]
        assert due["state"] == "failing"
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "60d"})
        [ahead] = site.voice.get(f"{POLICIES}/{one}/secrets").json["secrets"]
        assert (ahead["state"], ahead["attempts"]) == ("scheduled", 0)
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "30d"})
        site.voice.patch(f"/v1/secret-policies/{maker}", {"is_active": True})
        site.work()
        assert [each["status"] for each in site.history(one)] == ["success", "failed"]

    def test_another_interval_moves_due_times(self, site):
        site.listen()
        one = site.policy(warn_before="7d,1d")
        site.under("app/db", one)
        site.forward(days=24)
        began = site.clock.now() - timedelta(days=24)
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "60d"})
        assert site.schedule()[:2] == ("scheduled", began + timedelta(days=60))
        site.forward(days=29)
        assert len(site.events("rotation.due")) == 2
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "52d"})
        site.work()
        assert site.schedule()[0] == "awaited"

    def test_more_secrets_than_one_answer_waits_for_are_moved_by_workers(self, site):
        one = site.policy()
        site.run(
            """
            WITH made AS (
                INSERT INTO secrets (tenant_id, path, secret_type, current_version, metadata, max_versions, created_at,
                                     updated_at, rotation_policy_id)
                SELECT 'tnt_a', 'many/' || n, 'kv', 1, '{}', 10, now(), now(), %s FROM generate_series(1, 3000) AS n
                RETURNING path)
            INSERT INTO secret_rotations (tenant_id, path, policy_id, schedule_revision, counts_from, state, due_at,
                                          wake_at)
            SELECT 'tnt_a', path, %s, 1, %s, 'scheduled', %s, %s FROM made
            """,
            one,
            one,
            site.clock.now(),
            site.clock.now() + timedelta(days=30),
            site.clock.now() + timedelta(days=30),
        )
        site.voice.patch(f"{POLICIES}/{one}", {"interval": "10d"})
        moved = "SELECT count(*) FROM secret_rotations WHERE due_at = counts_from + interval '10 days'"
        assert site.rows(moved) == [(2000,)]
        while site.upkeep.run():
            pass
        assert site.rows(moved) == [(3000,)]
        assert site.rows("SELECT is_settled FROM rotation_policies") == [(True,)]
        site.voice.delete(f"{POLICIES}/{one}")
        while site.upkeep.run():
            pass
        assert site.rows("SELECT count(*) FROM rotation_policies") == [(0,)]
        assert site.rows("SELECT count(*) FROM secrets WHERE rotation_policy_id IS NOT NULL") == [(0,)]

    def test_from_waiting_to_generating(self, site):
        one = site.policy()
        site.under("app/db", one)
        site.forward(days=31)
        assert site.schedule()[0] == "awaited"
        site.voice.patch(f"{POLICIES}/{one}", {"auto_generate": True, "secret_policy_id": site.secret_policy()})
        site.work()
        assert (site.version(), site.schedule()[0]) == (2, "scheduled")
        assert [each["status"] for each in site.history(one)] == ["success"]


class TestTrash:
    def test_what_is_in_it_is_not_renewed_and_what_comes_back_is(self, site):
        site.under("app/db", site.policy(auto_generate=True, secret_policy_id=site.secret_policy()))
        site.voice.delete("/v1/secrets/app/db")
        site.forward(days=29, hours=23)
        assert site.version() == 1
        site.voice.post("/v1/secrets/app/db:recover")
        site.forward(hours=2)
        assert site.version() == 2


class TestTurns:
    def test_one_tenants_many_do_not_hold_up_anothers_one(self, site, bob):
        one = site.policy(auto_generate=True, secret_policy_id=site.secret_policy())
        for number in range(80):
            site.under(f"app/{number}", one)
        made = bob.post("/v1/secret-policies", {"name": "p", "fields": [{"name": "k", "generator": "uuid"}]}).json
        body = {"name": "p", "interval": "30d", "auto_generate": True, "secret_policy_id": made["id"]}
        theirs = bob.post(POLICIES, body).json["id"]
        bob.write("app/one", {"k": "first"}, options={"rotation_policy_id": theirs})
        site.clock.forward(days=30)
        for _ in range(2):
            site.scheduler.run()
        assert bob.get("/v1/secrets/app/one").json["version"] == 2
        assert site.rows("SELECT count(*) FROM secrets WHERE current_version = 1") != [(0,)]
        site.work()
        assert site.rows("SELECT count(*) FROM secrets WHERE current_version = 1") == [(0,)]
