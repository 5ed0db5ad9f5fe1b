"""A token of a user is that user's, whom the directory knows by the token's subject: whatever else the token says."""

from datetime import UTC, datetime

import psycopg
import pytest

from scaivault.kernel.caller import Role
from scaivault.storage import migrate
from tests.house import OTHER_TENANT, furnish, opened, partner_admin
from tests.http.test_directory import SECRET, ScaiKey
from tests.waiting import await_in_force

WHOAMI = "/v1/auth/whoami"
TOKENS = "/v1/auth/tokens"
SHUT_OUT = (403, "forbidden")
INVALID = (401, "token_invalid")


def outcome(answer):
    return answer.status_code if answer.status_code < 300 else (answer.status_code, answer.json["error"]["code"])


def eventually(ask, wanted):
    await_in_force(lambda: outcome(ask()), lambda got: got == wanted)


@pytest.fixture
def house(database_url, redis_url, tmp_path, provider):
    """A house whose issuer is the provider, and whose directory is told by ScaiKey."""
    environment = {"SCAIKEY_URL": provider.url, "SCAIKEY_WEBHOOK_SECRET": SECRET}
    with opened(database_url, redis_url, tmp_path, **environment) as house:
        provider.now = lambda: house.clock.now().timestamp()
        yield house


@pytest.fixture
def ada(house):
    return furnish(house)[0]


@pytest.fixture
def pat(house, ada):
    return partner_admin(house, ada)


@pytest.fixture
def scaikey(house, ada):
    told = ScaiKey(house)
    told.user(1, display_name="Alice")
    told.user(2, display_name="Bob")
    told.user(3, display_name="Carol", status="SUSPENDED")
    told.tell("group.created", "grp_sre", {"name": "sre"})
    told.tell("group.member_added", "grp_sre", {"user_id": "usr_1"})
    return told


@pytest.fixture
def speak(house, provider, scaikey):
    """A voice by a token that says these claims."""

    def speak(**said):
        return house.voice(provider.token(**{"email": ..., **said}))

    return speak


class TestOfAUserTheDirectoryKnows:
    @pytest.mark.parametrize("email", [..., "u3@a.example", "U3@A.example", "free@a.example", "no address"])
    def test_who_is_suspended_is_out_whatever_the_email_is(self, speak, email):
        answer = speak(sub="usr_3", email=email).get(WHOAMI)
        assert outcome(answer) == (INVALID if email == "no address" else SHUT_OUT)

    @pytest.mark.parametrize("email", [..., "u1@a.example", "U1@a.EXAMPLE", "free@a.example", "ada@a.example"])
    def test_the_directory_says_who_it_is(self, speak, email):
        told = speak(sub="usr_1", email=email, name="Mallory", groups=["admins"]).get(WHOAMI).json
        assert (told["identity_id"], told["display_name"]) == ("user:u1@a.example", "Alice")
        assert (told["groups"], told["roles"]) == (["group:sre"], [])

    @pytest.mark.parametrize("verified", [..., True, False])
    @pytest.mark.parametrize("email", ["u2@a.example", "U2@A.example"])
    def test_who_comes_with_the_email_of_another_is_refused(self, speak, ada, email, verified):
        answer = speak(sub="usr_1", email=email, email_verified=verified).get(WHOAMI)
        assert outcome(answer) == INVALID
        [row] = ada.audit(action="policy_violation")
        assert (row["identity_id"], row["extra_data"]["reason"]) == ("user:u1@a.example", "token_invalid")

    def test_a_deny_holds_without_an_email(self, house, ada, speak):
        ada.write("app/db")
        house.allow(ada, "group:sre", ("app/*", ["read"]), identity_type="group")
        house.allow(ada, "user:u1@a.example", ("app/*", ["read"], {"effect": "deny"}))
        assert outcome(speak(sub="usr_1").get("/v1/secrets/app/db")) == (403, "access_denied")

    def test_a_token_that_was_seen_ends_with_the_user_within_a_second(self, scaikey, speak):
        bob = speak(sub="usr_2")
        assert outcome(bob.get(WHOAMI)) == 200
        scaikey.tell("user.suspended", "usr_2", at=9)
        eventually(lambda: bob.get(WHOAMI), SHUT_OUT)
        scaikey.tell("user.activated", "usr_2", at=10)
        eventually(lambda: bob.get(WHOAMI), 200)


class TestOfAUserItDoesNotKnow:
    @pytest.mark.parametrize("email", ["u1@a.example", "U1@A.Example"])
    @pytest.mark.parametrize("sub", ["usr_9", "auth0|9"])
    def test_the_name_of_one_it_knows_is_refused(self, speak, sub, email):
        assert outcome(speak(sub=sub, email=email).get(WHOAMI)) == INVALID
        assert outcome(speak(sub=sub, email=email, email_verified=False).get(WHOAMI)) == INVALID

    def test_nor_is_it_let_in_as_its_subject(self, speak):
        assert outcome(speak(sub="U1@a.example").get(WHOAMI)) == INVALID

    def test_any_other_is_its_own_in_small_letters(self, speak):
        assert speak(sub="usr_9", email="New@A.example").get(WHOAMI).json["identity_id"] == "user:new@a.example"
        assert speak(sub="usr_9").get(WHOAMI).json["identity_id"] == "user:usr_9"

    def test_in_another_tenant_the_directory_of_that_tenant_counts(self, speak):
        told = speak(sub="usr_9", email="u1@a.example", tenant_id=OTHER_TENANT).get(WHOAMI)
        assert told.json["identity_id"] == "user:u1@a.example"

    @pytest.mark.parametrize(
        "email", ["x@tnt_dev.x", "a@b@c", "%41@x", "x", "@x", "x@", "u\u0430@a.example", "u1@a.example\n"]
    )
    def test_what_the_directory_refuses_as_an_address_signs_nobody_in(self, speak, scaikey, email):
        assert outcome(speak(sub="usr_9", email=email).get(WHOAMI)) == INVALID
        assert scaikey.tell("user.created", "usr_9", {"email": email})[0] is False

    @pytest.mark.parametrize("sub", ["", "\u0000", "a\u0000b", "usr_\u0430", "x" * 256])
    def test_a_subject_that_can_be_nobodys_is_refused(self, speak, sub):
        assert outcome(speak(sub=sub, email="new@a.example").get(WHOAMI)) == INVALID


class TestWhatItMade:
    """A personal token lives on when the session is over, and ends with the user all the same."""

    def made(self, house, voice, lifetime="90d"):
        answer = voice.post(TOKENS, {"name": "n", "scopes": ["secrets:list"], "expires_in": lifetime})
        assert answer.status_code == 201, answer.text
        return house.voice(answer.json["token"])

    @pytest.mark.parametrize("email", [..., "Free@a.example"])
    @pytest.mark.parametrize("sub", ["usr_1", "usr_9"])
    @pytest.mark.parametrize("verb", ["suspended", "deleted"])
    def test_ends_with_him_within_a_second(self, house, scaikey, speak, sub, email, verb):
        alice = speak(sub=sub, email=email)
        spare = self.made(house, alice)
        child = self.made(house, spare, "30d") if sub == "usr_1" else spare
        house.clock.forward(days=1)
        assert [outcome(each.get(WHOAMI)) for each in (spare, child)] == [200, 200]
        assert scaikey.tell(f"user.{verb}", sub, at=9) == (True, "taken")
        eventually(lambda: spare.get(WHOAMI), SHUT_OUT)
        eventually(lambda: child.get(WHOAMI), SHUT_OUT)
        scaikey.tell("user.activated", sub, at=10)
        eventually(lambda: spare.get(WHOAMI), 200)

    def test_goes_on_under_the_name_that_he_is_given(self, house, scaikey, speak):
        spare = self.made(house, speak(sub="usr_9"))
        assert spare.get(WHOAMI).json["identity_id"] == "user:usr_9"
        scaikey.user(9)
        await_in_force(lambda: spare.get(WHOAMI).json["identity_id"], lambda told: told == "user:u9@a.example")

    def test_ends_when_his_name_turns_out_to_be_another_s(self, house, scaikey, speak):
        spare = self.made(house, speak(sub="usr_9", email="u5@a.example"))
        assert outcome(spare.get(WHOAMI)) == 200
        scaikey.user(5)
        eventually(lambda: spare.get(WHOAMI), SHUT_OUT)

    def test_ends_when_he_turns_out_to_have_another_name(self, house, scaikey, speak):
        spare = self.made(house, speak(sub="usr_9", email="u5@a.example"))
        scaikey.user(9)
        eventually(lambda: spare.get(WHOAMI), SHUT_OUT)


class TestOneSpelling:
    def test_of_bindings_and_of_trials(self, house, ada, speak):
        ada.write("app/db")
        house.allow(ada, "user:New@A.example", ("app/*", ["read"]))
        for spelt in ("new@a.example", "NEW@a.example"):
            assert outcome(speak(sub="usr_9", email=spelt).get("/v1/secrets/app/db")) == 200
            trial = {"identity_id": f"user:{spelt}", "path": "app/db", "permission": "read"}
            assert ada.post("/v1/policies/test", trial).json["allowed"] is True
            assert outcome(house.someone(f"user:{spelt}").get("/v1/secrets/app/db")) == 200

    def test_of_what_is_resolved(self, ada, scaikey):
        assert ada.get("/v1/identity/resolve/user/user:U1@A.example").json["user_id"] == "usr_1"

    def test_a_binding_in_another_spelling_is_the_same_binding(self, house, ada):
        policy_id = house.allow(ada, "user:New@A.example", ("app/*", ["read"]))
        again = ada.post(
            f"/v1/policies/{policy_id}/bindings", {"identity_type": "user", "identity_id": "user:new@a.example"}
        )
        assert outcome(again) == (409, "binding_exists")


ROLES = "/v1/identity/users/usr_1/roles"
OWN = "Nobody changes his own roles."


class TestNobodyChangesHisOwnRoles:
    @pytest.mark.parametrize("role", ["partner_admin", "super_admin"])
    @pytest.mark.parametrize("email", [..., "U1@a.example", "free@a.example"])
    def test_however_he_signed_in(self, speak, email, role):
        alice = speak(sub="usr_1", email=email, role=role, scope="identity:admin")
        answer = alice.put(ROLES, {"roles": ["tenant_admin"]})
        assert (outcome(answer), answer.json["error"]["message"]) == (SHUT_OUT, OWN)

    def test_nor_by_a_token_that_he_made(self, house, scaikey, speak, pat):
        pat.put(ROLES, {"roles": ["partner_admin"]})
        alice = speak(sub="usr_1", scope="identity:admin")
        made = alice.post(TOKENS, {"name": "n", "scopes": ["identity:admin"]})
        answer = house.voice(made.json["token"]).put(ROLES, {"roles": ["tenant_admin"]})
        assert (outcome(answer), answer.json["error"]["message"]) == (SHUT_OUT, OWN)

    @pytest.mark.parametrize(
        "told", [("usr_1", {"email": "elsewhere@b.example"}), ("usr_77", {"email": "U1@a.example"})]
    )
    def test_nor_as_a_visitor_of_another_tenant(self, speak, scaikey, told):
        assert scaikey.tell("user.created", *told, tenant_id=OTHER_TENANT) == (True, "taken")
        alice = speak(sub="usr_1", role="super_admin", scope="identity:admin")
        answer = alice.put(f"/v1/t/{OTHER_TENANT}/identity/users/{told[0]}/roles", {"roles": ["tenant_admin"]})
        assert (outcome(answer), answer.json["error"]["message"]) == (SHUT_OUT, OWN)

    def test_another_s_he_does(self, speak):
        alice = speak(sub="usr_1", role="partner_admin", scope="identity:admin")
        assert outcome(alice.put("/v1/identity/users/usr_2/roles", {"roles": ["tenant_admin"]})) == 200


class TestWhatWasStoredInCapitals:
    """Migration 0015, over rows as the release before it wrote them."""

    @pytest.fixture
    def stored(self, house, ada, database_url):
        policy_id = house.allow(ada, "user:lee@a.example", ("app/*", ["read"]))
        lee = house.someone("user:lee@a.example", roles=[Role.TENANT_ADMIN])
        with psycopg.connect(database_url, autocommit=True) as connection:
            for statement in (
                """
                INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles)
                SELECT tenant_id, 'user:Lee@A.example', identity_type, display_name, groups, roles
                  FROM identities
                 WHERE id = 'user:lee@a.example'
                """,
                "UPDATE tokens SET identity_id = 'user:Lee@A.example' WHERE identity_id = 'user:lee@a.example'",
                "UPDATE policy_bindings SET identity_id = 'user:Lee@A.example' WHERE identity_id = 'user:lee@a.example'",
                "DELETE FROM identities WHERE id = 'user:lee@a.example'",
            ):
                connection.execute(statement)
        return policy_id, lee

    def fold(self, database_url):
        """The part of the migration that is about rows, once more."""
        text = (migrate.MIGRATIONS / "0015_one_identity.sql").read_text()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(text[text.index("INSERT INTO identities") :])

    def test_is_found_in_small_letters(self, house, ada, speak, stored, database_url):
        policy_id, lee = stored
        ada.write("app/db")
        self.fold(database_url)
        told = speak(sub="usr_9", email="LEE@a.example").get(WHOAMI).json
        assert (told["identity_id"], told["roles"]) == ("user:lee@a.example", ["tenant_admin"])
        assert lee.get(WHOAMI).json["identity_id"] == "user:lee@a.example"
        assert outcome(lee.get("/v1/secrets/app/db")) == 200
        [binding] = ada.get(f"/v1/policies/{policy_id}").json["bindings"]
        assert binding["identity_id"] == "user:lee@a.example"
        listed = ada.get("/v1/policies?limit=1000").json["policies"]
        assert [each["binding_count"] for each in listed if each["id"] == policy_id] == [1]

    def test_two_spellings_come_together(self, house, ada, speak, stored, database_url):
        policy_id, _ = stored
        house.someone("user:lee@a.example", groups=["group:sre"])
        until = datetime.fromtimestamp(house.clock.now().timestamp() + 3_600, UTC).isoformat()
        bound = {"identity_type": "user", "identity_id": "user:lee@a.example", "expires_at": until}
        assert outcome(ada.post(f"/v1/policies/{policy_id}/bindings", bound)) == 201
        for _ in range(2):
            self.fold(database_url)
        told = speak(sub="usr_9", email="lee@a.example").get(WHOAMI).json
        assert (told["groups"], told["roles"]) == (["group:sre"], ["tenant_admin"])
        [binding] = ada.get(f"/v1/policies/{policy_id}").json["bindings"]
        assert binding["expires_at"] is None

    def test_who_was_suspended_in_one_spelling_is_out(self, house, stored, speak, database_url):
        house.someone("user:lee@a.example")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE identities SET status = 'SUSPENDED' WHERE id = 'user:Lee@A.example'")
        self.fold(database_url)
        assert outcome(speak(sub="usr_9", email="lee@a.example").get(WHOAMI)) == SHUT_OUT
