"""Webhooks that a rotation policy names hear what happens under it, whatever they listen for; once, and within filters."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.http.test_subscriptions import dispatch
from tests.http.test_webhooks import await_waiting
from tests.workers.scheduling import POLICIES, site_of

ROTATED = ["secret.rotated", "rotation.completed"]


@pytest.fixture
def site(house, ada):
    with site_of(house, ada) as made:
        yield made


def hook(site, events=("policy.created",), **more):
    body = {"name": "hook", "url": "https://receiver.example", "secret": "s" * 40, "events": list(events), **more}
    made = site.voice.post("/v1/webhooks", body)
    assert made.status_code == 201, made.text
    return made.json["id"]


def told(site, webhook_id):
    """What is in its queue, in its order: type and path."""
    dispatch(site.house)
    return site.rows(
        """
        SELECT event_type, events.path
          FROM webhook_deliveries AS deliveries
          JOIN events ON events.tenant_id = deliveries.tenant_id AND events.id = event_id
         WHERE webhook_id = %s
         ORDER BY deliveries.sequence
        """,
        webhook_id,
    )


def rotate(site, path):
    answer = site.voice.post(f"/v1/secrets/{path}:rotate")
    assert answer.status_code == 200, answer.text


class TestWhoHears:
    def test_what_is_named_hears_what_happens_under_the_policy_and_nothing_else(self, site):
        named = hook(site)
        maker = site.secret_policy()
        one = site.policy(secret_policy_id=maker, webhook_ids=[named])
        site.under("app/db", one)
        site.under("app/other", site.policy(name="other", secret_policy_id=maker))
        site.voice.write("app/free", options={"secret_policy_id": maker})
        site.voice.patch("/v1/secrets/app/db:metadata", {"metadata": {"owner": "team:a"}})
        for path in ("app/other", "app/free", "app/db"):
            rotate(site, path)
        assert told(site, named) == [(kind, "app/db") for kind in ROTATED]

    @pytest.mark.parametrize(
        ("more", "kinds"),
        [
            ({"warn_before": "1d"}, ["rotation.due", "rotation.due", "rotation.overdue"]),
            ({"auto_generate": True}, ["rotation.failed", "rotation.overdue"]),
        ],
    )
    def test_what_falls_due_is_told_too(self, site, more, kinds):
        named = hook(site)
        site.under("app/db", site.policy(webhook_ids=[named], grace_period="1h", **more))
        for span in ({"days": 29, "hours": 1}, {"days": 1}, {"hours": 2}):
            site.forward(**span)
        heard = [kind for kind, _ in told(site, named)]
        assert list(dict.fromkeys(heard)) == list(dict.fromkeys(kinds))
        assert set(heard) == set(kinds)

    def test_a_write_of_somebodys_own_is_a_rotation_and_told(self, site):
        named = hook(site)
        site.under("app/db", site.policy(webhook_ids=[named]))
        site.voice.write("app/db", {"password": "second"})
        assert told(site, named) == [(kind, "app/db") for kind in ROTATED]

    def test_what_listens_for_it_anyway_is_told_once(self, site):
        named = hook(site, events=[*ROTATED, "policy.created"])
        site.under("app/db", site.policy(secret_policy_id=site.secret_policy(), webhook_ids=[named, named]))
        rotate(site, "app/db")
        assert told(site, named) == [(kind, "app/db") for kind in ROTATED]

    def test_others_are_told_as_without_it(self, site):
        named, listening, deaf = hook(site), hook(site, events=["secret.rotated"]), hook(site)
        site.under("app/db", site.policy(secret_policy_id=site.secret_policy(), webhook_ids=[named]))
        rotate(site, "app/db")
        assert told(site, named) == [(kind, "app/db") for kind in ROTATED]
        assert told(site, listening) == [("secret.rotated", "app/db")]
        assert told(site, deaf) == []

    @pytest.mark.parametrize(
        "filters", [{"path_prefix": "app/"}, {"secret_type": "kv"}, {"tags": ["prod"]}], ids=lambda filters: [*filters]
    )
    def test_its_filters_hold(self, site, filters):
        named = hook(site, events=["secret.created"], filters=filters)
        one = site.policy(secret_policy_id=site.secret_policy(), webhook_ids=[named])
        options = {"rotation_policy_id": one}
        site.voice.write("app/in", {"a": "1"}, options=options, metadata={"tags": ["prod"]})
        site.voice.write("out/of", {"a": "1"}, options=options, secret_type="json", metadata={"tags": ["dev"]})
        for path in ("out/of", "app/in"):
            rotate(site, path)
        assert told(site, named)[1:] == [(kind, "app/in") for kind in ROTATED]

    def test_one_that_is_disabled_is_told_nothing_and_nothing_is_kept_for_it(self, site):
        named = hook(site)
        site.under("app/db", site.policy(secret_policy_id=site.secret_policy(), webhook_ids=[named]))
        assert site.voice.patch(f"/v1/webhooks/{named}", {"enabled": False}).status_code == 200
        rotate(site, "app/db")
        assert site.events(*ROTATED) == []
        site.voice.patch(f"/v1/webhooks/{named}", {"enabled": True})
        rotate(site, "app/db")
        assert told(site, named) == [(kind, "app/db") for kind in ROTATED]

    def test_who_is_named_no_more_hears_no_more(self, site):
        named = hook(site)
        one = site.policy(secret_policy_id=site.secret_policy(), webhook_ids=[named])
        site.under("app/db", one)
        assert site.voice.patch(f"{POLICIES}/{one}", {"webhook_ids": []}).status_code == 200
        rotate(site, "app/db")
        assert told(site, named) == []


class TestWhoMayBeNamed:
    def test_no_other_tenants_and_no_subscription(self, site, bob):
        body = {"name": "hook", "url": "https://receiver.example", "secret": "s" * 40, "events": ["secret.created"]}
        foreign = bob.post("/v1/webhooks", body).json["id"]
        delivery = {"type": "webhook", "url": "https://receiver.example", "secret": "s" * 40}
        wish = {"name": "a", "paths": ["**"], "events": ["secret.created"], "delivery": delivery}
        subscription = site.voice.post("/v1/subscriptions", wish).json["id"]
        for webhook_id in (foreign, subscription):
            refused = site.voice.post(POLICIES, {"name": "a", "interval": "30d", "webhook_ids": [webhook_id]})
            assert (refused.status_code, refused.json["error"]["code"]) == (404, "webhook_not_found")


class TestDeleting:
    def test_it_is_named_by_nothing_any_more_and_the_trail_says_so(self, site):
        gone, stays = hook(site), hook(site)
        naming = [site.policy(name=name, webhook_ids=[stays, gone]) for name in ("a", "b")]
        other = site.policy(name="c", webhook_ids=[stays])
        assert site.voice.delete(f"/v1/webhooks/{gone}").status_code == 204
        for one in (*naming, other):
            shown = site.voice.get(f"{POLICIES}/{one}").json
            assert (shown["webhook_ids"], shown["revision"]) == ([stays], 1 if one == other else 2)
        [deleted] = site.voice.audit(action="webhook_delete")
        assert sorted(deleted["extra_data"]["named_by"]) == sorted(naming)
        changed = site.voice.audit(action="rotation_policy_update")
        assert {each["extra_data"]["rotation_policy_id"] for each in changed} == set(naming)
        assert {each["request_id"] for each in changed} == {deleted["request_id"]}
        assert all(each["extra_data"]["changed"] == ["webhook_ids"] for each in changed)

    def test_whoever_names_it_just_then_does_not_name_what_is_gone(self, site):
        """Neither waits for the other in vain: both begin with the webhook."""
        gone = hook(site)
        one = site.policy(webhook_ids=[gone])
        address = f"{POLICIES}/{one}"
        with ThreadPoolExecutor(2) as both:
            with psycopg.connect(site.url) as holding:
                holding.execute("SELECT FROM rotation_policies WHERE id = %s FOR UPDATE", [one])
                change = both.submit(site.voice.patch, address, {"interval": "60d", "webhook_ids": [gone]})
                await_waiting(site.url, 1)
                deletion = both.submit(site.voice.delete, f"/v1/webhooks/{gone}")
                await_waiting(site.url, 2)
            assert (change.result(60).status_code, deletion.result(60).status_code) == (200, 204)
        assert site.voice.get(address).json["webhook_ids"] == []

    def test_a_name_that_is_gone_is_refused_and_changes_nothing_else(self, site):
        gone = hook(site)
        one = f"{POLICIES}/{site.policy(webhook_ids=[gone])}"
        assert site.voice.delete(f"/v1/webhooks/{gone}").status_code == 204
        assert site.voice.patch(one, {"interval": "60d"}).json["webhook_ids"] == []
        refused = site.voice.patch(one, {"interval": "90d", "webhook_ids": [gone]})
        assert (refused.status_code, refused.json["error"]["details"]["webhook_ids"]) == (404, [gone])
        assert site.voice.get(one).json["interval"] == "60d"
