"""Who is believed: nobody but the holder of a live token, in its own tenant, within its own limits."""

import pytest

from scaivault.kernel.caller import Role, Scope
from tests.security.wire import request
from tests.waiting import await_in_force

WHOAMI = "/v1/auth/whoami"
TOKENS = "/v1/auth/tokens"


def refusal(answer):
    status = answer.status_code if hasattr(answer, "status_code") else answer.status
    return status, answer.json["error"]["code"]


@pytest.fixture
def mint(house, ada, room):
    """A token by ada's, as (its answer, a voice that uses it)."""

    minted = []

    def mint(maker=ada, **wanted):
        made = maker.post(TOKENS, {"name": room, "scopes": ["secrets:list"], **wanted})
        assert made.status_code == 201, made.text
        minted.append(made.json["id"])
        return made.json, house.voice(made.json["token"])

    yield mint
    # The house stands for many tests, and an identity may have a hundred live tokens.
    for token_id in minted:
        ada.delete(f"{TOKENS}/{token_id}")


def header(text):
    """How to send a whole Authorization header of one's own."""
    return {"headers": {"Authorization": text}}


class TestTheHeader:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
    def test_its_scheme_has_no_case(self, house, ada, scheme):
        assert house.voice().get(WHOAMI, **header(f"{scheme} {ada.token}")).status_code == 200

    @pytest.mark.parametrize(
        "form",
        [
            "",
            "Bearer",
            "Bearer ",
            "{}",
            "Token {}",
            "Basic {}",
            "Bearer:{}",
            "Bearer={}",
            "Bearer{}",
            "Bearer\t{}",
            "Bearer {} {}",
            "Bearer {}, Bearer {}",
            "Bearer {} x",
            "Bearer token {}",
            'Bearer "{}" "',
            "Bearer {}\u00a0",
            "Bearer \u00e9{}",
            "X Bearer {}",
        ],
    )
    def test_any_other_form_is_no_authentication(self, house, ada, form):
        answer = house.voice().get(WHOAMI, **header(form.format(ada.token, ada.token)))
        assert refusal(answer) == (401, "authentication_required")

    @pytest.mark.parametrize(
        "place",
        [
            {"path": f"{WHOAMI}?access_token={{}}"},
            {"path": f"{WHOAMI}?token={{}}"},
            {"path": f"{WHOAMI}?authorization=Bearer+{{}}"},
            {"headers": {"Cookie": "Authorization=Bearer {}; token={}; session={}"}},
            {"headers": {"X-Authorization": "Bearer {}"}},
            {"headers": {"X-Auth-Token": "{}"}},
            {"headers": {"X-Vault-Token": "{}"}},
            {"headers": {"Proxy-Authorization": "Bearer {}"}},
            {"headers": {"X-Forwarded-User": "user:ada@a.example"}},
            {"headers": {"Sec-WebSocket-Protocol": "bearer, {}"}},
        ],
        ids=lambda place: str(place)[:40],
    )
    def test_a_token_in_another_place_is_not_seen(self, house, ada, place):
        headers = {name: value.replace("{}", ada.token) for name, value in place.get("headers", {}).items()}
        answer = house.voice().get(place.get("path", WHOAMI).replace("{}", ada.token), headers=headers)
        assert refusal(answer) == (401, "authentication_required")

    def test_nor_in_a_body(self, house, ada):
        answer = house.voice().post("/v1/auth/introspect", {"token": ada.token})
        assert refusal(answer) == (401, "authentication_required")

    def test_two_headers_are_none(self, vault, ada, bob):
        headers = [f"Authorization: Bearer {token}" for token in (ada.token, bob.token)]
        assert refusal(vault.ask("GET", WHOAMI, None, headers, token=None)) == (401, "authentication_required")
        same = vault.ask("GET", WHOAMI, None, [headers[0], headers[0]], token=None)
        assert refusal(same) == (401, "authentication_required")

    def test_one_with_an_underscore_is_no_header(self, vault, ada):
        answer = vault.ask("GET", "/v1/secrets", None, [f"HTTP_AUTHORIZATION: Bearer {ada.token}"], token=None)
        assert refusal(answer) == (401, "authentication_required")

    @pytest.mark.parametrize("length", [8_000, 20_000, 1_000_000])
    def test_a_huge_one_is_refused_by_somebody(self, vault, house, length):
        answer = vault.ask("GET", WHOAMI, token="skt_" + "A" * length)
        assert answer.status == (401 if length == 8_000 else 431)
        inside = house.voice("skt_" + "A" * length).get(WHOAMI)
        assert refusal(inside) == (401, "token_invalid")


FORGED = {
    "cut short": lambda token: token[:-1],
    "cut shorter": lambda token: token[:20],
    "only its prefix": lambda token: "skt_",
    "without its prefix": lambda token: token.removeprefix("skt_"),
    "its prefix in capitals": lambda token: "SKT_" + token[4:],
    "its prefix twice": lambda token: "skt_" + token,
    "one character more": lambda token: token + "A",
    "padded": lambda token: token + "=",
    "in capitals": lambda token: token.upper(),
    "in small letters": lambda token: token.lower(),
    "its cases swapped": lambda token: "skt_" + token[4:].swapcase(),
    "its first character changed": lambda token: token[:4] + changed(token[4]) + token[5:],
    "its last character changed": lambda token: token[:-1] + changed(token[-1]),
    "one in the middle changed": lambda token: token[:25] + changed(token[25]) + token[26:],
    "turned round": lambda token: "skt_" + token[:3:-1],
    "in another alphabet": lambda token: "skt_" + token[4:].translate(str.maketrans("-_", "+/")) + "~",
    "quoted": lambda token: f'"{token}"',
    "percent-encoded": lambda token: token.replace("_", "%5F", 1),
    "with a comma": lambda token: f"{token},{token}",
    "somebody else's shape": lambda token: "scai_live_" + token[4:],
    "all zeros": lambda token: "skt_" + "0" * 43,
    "all As": lambda token: "skt_" + "A" * 43,
    "null": lambda token: "null",
    "undefined": lambda token: "undefined",
    "a quote": lambda token: "'OR'1'='1",
    "a star": lambda token: "*",
    "a token's id": lambda token: f"tok_{'0' * 32}",
    "a JWT without a signature": lambda token: "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyOmFkYUBhLmV4YW1wbGUifQ.",
    "a JWT by HMAC": lambda token: (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyOmFkYUBhLmV4YW1wbGUiLCJleHAiOjk5OTk5OTk5OTl9.AAAA"
    ),
    "a JWT with a key of its own": lambda token: "eyJhbGciOiJSUzI1NiIsImp3ayI6e319.e30.AAAA",
    "a token in a JWT": lambda token: f"eyJhbGciOiJub25lIn0.{token}.",
    "three dots": lambda token: "...",
    "16,000 characters": lambda token: "skt_" + "A" * 15_900,
}


def changed(character):
    return "A" if character != "A" else "B"


class TestForgeries:
    @pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
    def test_no_forgery_is_a_token(self, house, ada, forge):
        forged = forge(ada.token)
        assert forged != ada.token
        answer = house.voice(forged).get(WHOAMI)
        assert refusal(answer) == (401, "token_invalid")
        assert forged not in answer.text or len(forged) < 5

    @pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
    def test_nor_is_one_to_introspection(self, ada, forge):
        assert ada.post("/v1/auth/introspect", {"token": forge(ada.token)}).json == {"active": False}

    def test_what_the_database_keeps_is_no_token(self, house, standing):
        """Whoever copies the table has nothing to log in with."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect(standing.database_url) as connection:
            rows = connection.execute("SELECT id, digest FROM tokens").fetchall()
        for identifier, digest in rows:
            for text in (identifier, digest.hex(), "skt_" + digest.hex()[:43]):
                assert refusal(house.voice(text).get(WHOAMI)) == (401, "token_invalid")

    def test_a_forgery_leaves_no_entry_since_nobody_is_known(self, house, ada, room):
        house.voice("skt_" + "A" * 43).get(WHOAMI, headers={"X-Request-ID": room})
        assert ada.audit(request_id=room) == []


class TestEnd:
    def test_an_expired_token_says_so_and_its_tenant_learns_of_it(self, house, ada, mint, room):
        _made, voice = mint(expires_in="15m")
        assert voice.get(WHOAMI).status_code == 200
        house.clock.forward(minutes=14, seconds=59)
        assert voice.get(WHOAMI).status_code == 200
        house.clock.forward(seconds=1)
        assert refusal(voice.get(WHOAMI, headers={"X-Request-ID": room})) == (401, "token_expired")
        self.assert_told(ada, room, "token_expired")

    def test_a_revoked_token_says_so_and_its_tenant_learns_of_it(self, ada, mint, room):
        made, voice = mint()
        assert voice.get(WHOAMI).status_code == 200
        assert ada.delete(f"{TOKENS}/{made['id']}").status_code == 204
        self.eventually_revoked(lambda: voice.get(WHOAMI, headers={"X-Request-ID": room}))
        self.assert_told(ada, room, "token_revoked")

    def assert_told(self, ada, room, reason):
        row = ada.audit(request_id=room)[0]
        assert (row["action"], row["success"]) == ("policy_violation", False)
        assert row["extra_data"]["attempted"] == "authenticate"
        assert row["extra_data"]["reason"] == reason
        assert row["identity_id"] == "user:ada@a.example"

    def eventually_revoked(self, ask):
        answer = await_in_force(ask, lambda answer: (getattr(answer, "status_code", None) or answer.status) != 200)
        assert refusal(answer) == (401, "token_revoked")

    def test_a_revocation_is_in_force_in_another_process_within_a_second(self, vault, ada, mint):
        made, _voice = mint()
        assert vault.ask("GET", WHOAMI, token=made["token"]).status == 200
        assert ada.delete(f"{TOKENS}/{made['id']}").status_code == 204
        self.eventually_revoked(lambda: vault.ask("GET", WHOAMI, token=made["token"]))

    def test_and_the_other_way_round(self, vault, mint):
        made, voice = mint()
        assert voice.get(WHOAMI).status_code == 200
        assert vault.ask("DELETE", f"{TOKENS}/{made['id']}").status == 204
        self.eventually_revoked(lambda: voice.get(WHOAMI))

    def test_a_token_can_end_itself(self, mint):
        made, voice = mint()
        assert voice.delete(f"{TOKENS}/{made['id']}").status_code == 204
        self.eventually_revoked(lambda: voice.get(WHOAMI))

    def test_its_end_is_final(self, ada, mint):
        made, _ = mint()
        assert ada.delete(f"{TOKENS}/{made['id']}").status_code == 204
        assert refusal(ada.delete(f"{TOKENS}/{made['id']}")) == (404, "token_not_found")

    def test_what_it_made_for_its_holder_ends_with_it(self, ada, mint):
        """Or who stole it would only have to make a spare in time."""
        made, voice = mint()
        _, child = mint(voice)
        ada.delete(f"{TOKENS}/{made['id']}")
        self.eventually_revoked(lambda: voice.get(WHOAMI))
        self.eventually_revoked(lambda: child.get(WHOAMI))


class TestTenants:
    @pytest.mark.parametrize(
        "tenant", ["tnt_b", "tnt_nowhere", "TNT_A", "tnt_a ", "tnt_a,tnt_b", "*", "''", "x" * 5_000]
    )
    def test_another_tenant_is_refused_whether_it_is_there_or_not(self, ada, bob, room, tenant):
        tenant = tenant if tenant != "tnt_a " else "tnt_a;"  # servers strip what is blank
        answer = ada.get("/v1/secrets", headers={"X-Tenant-ID": tenant, "X-Request-ID": room})
        assert refusal(answer) == (403, "tenant_access_denied")
        assert tenant not in answer.text
        [row] = ada.audit(request_id=room)
        assert (row["action"], row["success"]) == ("policy_violation", False)
        assert (row["extra_data"]["reason"], row["identity_id"]) == ("tenant_access_denied", "user:ada@a.example")
        assert bob.audit(request_id=room) == []

    def test_one_s_own_tenant_may_be_named(self, ada):
        assert ada.get(WHOAMI, headers={"X-Tenant-ID": "tnt_a"}).json["tenant_id"] == "tnt_a"

    def test_two_tenants_are_none(self, vault):
        answer = vault.ask("GET", WHOAMI, None, ["X-Tenant-ID: tnt_a", "X-Tenant-ID: tnt_b"])
        assert refusal(answer) == (403, "tenant_access_denied")

    def test_no_token_is_made_in_another_tenant(self, ada, bob, room):
        answer = ada.post(
            TOKENS, {"name": "n", "scopes": ["admin"], "tenant_id": "tnt_b"}, headers={"X-Request-ID": room}
        )
        assert refusal(answer) == (403, "tenant_access_denied")
        assert [row["extra_data"]["attempted"] for row in ada.audit(request_id=room)] == ["token_create"]
        assert bob.audit(request_id=room) == []

    def test_a_strangers_form_is_looked_at_before_his_tenant(self, house):
        answer = house.voice().get(WHOAMI, headers={"X-Tenant-ID": "tnt_b"})
        assert refusal(answer) == (401, "authentication_required")


class TestNoTokenExceedsItsMaker:
    @pytest.fixture
    def narrow(self, mint):
        return mint(scopes=["secrets:list", "secrets:read"], expires_in="1h")

    @pytest.mark.parametrize("scope", sorted(set(Scope) - {Scope.SECRETS_LIST, Scope.SECRETS_READ}))
    def test_in_scope(self, ada, narrow, room, scope):
        _, voice = narrow
        for scopes in ([scope], ["secrets:list", scope]):
            answer = voice.post(TOKENS, {"name": "n", "scopes": scopes}, headers={"X-Request-ID": room})
            assert refusal(answer) == (403, "forbidden")
            assert answer.json["error"]["details"] == {"scopes": [scope]}
        assert {row["extra_data"]["attempted"] for row in ada.audit(request_id=room)} == {"token_create"}

    def test_in_scope_however_long_the_chain(self, mint, narrow):
        _, voice = narrow
        made, child = mint(voice, scopes=["secrets:read"])
        assert made["scopes"] == ["secrets:read"]
        assert refusal(child.post(TOKENS, {"name": "n", "scopes": ["secrets:list"]})) == (403, "forbidden")

    @pytest.mark.parametrize("lifetime", ["3601s", "61m", "2h", "90d", "36500d"])
    def test_in_lifetime(self, narrow, lifetime):
        _, voice = narrow
        answer = voice.post(TOKENS, {"name": "n", "scopes": ["secrets:list"], "expires_in": lifetime})
        assert refusal(answer) == (403, "forbidden")

    def test_in_lifetime_if_it_asks_for_none(self, mint, narrow):
        made, voice = narrow
        child, _ = mint(voice)
        assert child["expires_at"] == made["expires_at"]

    def test_in_lifetime_by_a_while_that_has_passed(self, house, mint, narrow):
        _, voice = narrow
        house.clock.forward(minutes=59)
        answer = voice.post(TOKENS, {"name": "n", "scopes": ["secrets:list"], "expires_in": "2m"})
        assert refusal(answer) == (403, "forbidden")

    def test_in_identity_groups_and_roles(self, house, ada, mint):
        someone = house.someone("user:sue", scopes=["secrets:list"], groups=["group:sre"])
        _, child = mint(someone)
        told, maker = child.get(WHOAMI).json, someone.get(WHOAMI).json
        told.pop("token_expires_at"), maker.pop("token_expires_at")
        assert told == maker
        assert told["groups"] == ["group:sre"]

    @pytest.mark.parametrize("lifetime", ["36500d", "367d", "400d"])
    def test_nobody_s_token_lives_longer_than_a_year(self, house, ada, room, lifetime):
        answer = ada.post(TOKENS, {"name": room, "scopes": ["admin"], "expires_in": lifetime})
        assert refusal(answer) == (403, "forbidden")

    def test_by_default_a_token_lives_for_ninety_days(self, house, mint):
        made, _ = mint()
        assert made["expires_at"] > made["created_at"]
        house.clock.forward(days=90)
        assert refusal(house.voice(made["token"]).get(WHOAMI)) == (401, "token_expired")


ORDER = {"name": "ci", "scopes": ["secrets:list"], "identity_id": "sa:ci"}


class TestServiceAccounts:
    def test_are_made_by_administrators_only(self, house, ada, room):
        reader = house.someone(f"user:{room}")
        answer = reader.post(TOKENS, ORDER, headers={"X-Request-ID": room})
        assert refusal(answer) == (403, "access_denied")
        assert [row["action"] for row in ada.audit(request_id=room)] == ["policy_violation"]

    def test_are_not_made_by_service_accounts(self, house, mint):
        _, account = mint(identity_id="sa:maker", scopes=["secrets:list", "admin", "identity:admin"])
        for order in (ORDER, {**ORDER, "identity_id": "sa:maker"}, {**ORDER, "groups": ["group:sre"]}):
            assert refusal(account.post(TOKENS, order)) == (403, "access_denied")

    def test_hold_no_role_and_no_rule(self, ada, mint):
        _made, account = mint(identity_id="sa:fresh", scopes=["secrets:read", "secrets:list", "admin"])
        who = account.get(WHOAMI).json
        assert (who["identity_type"], who["roles"], who["groups"]) == ("service_account", [], [])
        ada.write("fresh/db")
        assert refusal(account.get("/v1/secrets/fresh/db")) == (403, "access_denied")
        assert account.get("/v1/secrets").json["secrets"] == []

    @pytest.mark.parametrize(
        "identity_id",
        [
            "user:bob@b.example",
            "user:ada@a.example",
            "group:sre",
            "system:rotation-scheduler",
            "sa:",
            "sa:a b",
            "sa:a\n",
            "sa:../x",
            "SA:ci",
            "ci",
            "sa:" + "x" * 101,
            "sa:\u0441i",
            "",
        ],
        ids=ascii,
    )
    def test_have_ids_of_one_form(self, ada, identity_id):
        answer = ada.post(TOKENS, {**ORDER, "identity_id": identity_id})
        assert refusal(answer) == (422, "validation_error")

    def test_groups_are_nothing_to_give_oneself(self, house, room):
        """With no service account named they would be the maker's own."""
        reader = house.someone(f"user:{room}")
        order = {"name": "n", "scopes": ["secrets:list"], "groups": ["group:admins"]}
        answer = reader.post(TOKENS, order)
        assert answer.status_code in {403, 422}
        assert reader.get(WHOAMI).json["groups"] == []


class TestOthersTokens:
    def test_are_listed_to_administrators_alone(self, house, ada, mint, room):
        made, _ = mint()
        reader = house.someone(f"user:{room}")
        mine = [token["identity_id"] for token in reader.get(TOKENS).json["tokens"]]
        assert mine == [f"user:{room}"]
        assert made["id"] in [token["id"] for token in ada.get(f"{TOKENS}?limit=1000").json["tokens"]]

    def test_are_revoked_by_administrators_alone(self, house, ada, mint, room):
        made, voice = mint()
        reader = house.someone(f"user:{room}")
        answer = reader.delete(f"{TOKENS}/{made['id']}")
        nothing = reader.delete(f"{TOKENS}/tok_{'0' * 32}")
        assert refusal(answer) == refusal(nothing) == (404, "token_not_found")
        assert answer.json["error"]["message"] == nothing.json["error"]["message"]
        assert voice.get(WHOAMI).status_code == 200

    def test_are_never_shown_again(self, ada, mint):
        made, _ = mint()
        listed = ada.get(f"{TOKENS}?limit=1000").text
        assert made["id"] in listed
        assert made["token"] not in listed
        assert '"token"' not in listed
        assert "digest" not in listed


class TestIntrospection:
    def look(self, voice, token):
        return voice.post("/v1/auth/introspect", {"token": token})

    def test_needs_the_scope_admin(self, house, ada, room):
        others = house.someone(f"user:{room}", scopes=set(Scope) - {Scope.ADMIN}, roles=[Role.TENANT_ADMIN])
        assert refusal(self.look(others, ada.token)) == (403, "insufficient_scope")

    def test_tells_what_a_live_token_of_the_tenant_stands_for(self, ada, mint):
        made, _ = mint()
        told = self.look(ada, made["token"]).json
        assert told == {
            "active": True,
            "identity_id": "user:ada@a.example",
            "identity_type": "user",
            "tenant_id": "tnt_a",
            "scopes": ["secrets:list"],
            "expires_at": made["expires_at"],
            "issued_at": made["created_at"],
        }

    def test_tells_nothing_of_any_other(self, house, ada, bob, mint):
        expired, _ = mint(expires_in="15m")
        revoked, _ = mint()
        ada.delete(f"{TOKENS}/{revoked['id']}")
        house.clock.forward(minutes=16)
        self.eventually_inactive(ada, revoked["token"])
        for token in (expired["token"], revoked["token"], bob.token, "skt_" + "A" * 43, "x"):
            answer = self.look(ada, token)
            assert (answer.status_code, answer.json) == (200, {"active": False})

    def eventually_inactive(self, ada, token):
        await_in_force(lambda: self.look(ada, token).json["active"], lambda is_active: not is_active)

    def test_leaves_a_token_as_it_was(self, ada, mint):
        made, voice = mint()
        self.look(ada, made["token"])
        assert voice.get(WHOAMI).status_code == 200

    @pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"token": 1}, {"token": "x" * 16_385}])
    def test_takes_one_token(self, ada, body):
        assert refusal(ada.post("/v1/auth/introspect", body)) == (422, "validation_error")


def test_a_pipelined_request_is_not_made_with_the_token_of_the_one_before(vault):
    with vault.connected() as connection:
        first = request("GET", WHOAMI, None, (), vault.token).replace(b"Connection: close\r\n", b"")
        connection.sendall(first + request("GET", WHOAMI))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 200") == 1
    assert received.count(b"HTTP/1.1 401") == 1
