"""`scaivault server let-in`: the way back in for a tenant that nobody can administer any more."""

from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner

from scaivault.cli import main
from tests.faults.test_key_rotation import environ
from tests.house import TENANT

ADMIN = "user:carol@a.example"


@pytest.fixture
def let_in(house, ada):  # whose tenant it is
    def run(*options, tenant=TENANT, admin=ADMIN):
        arguments = ["server", "let-in", "--tenant", tenant, "--admin", admin, *options]
        return CliRunner().invoke(main, arguments, env=environ(house.settings))

    return run


def test_who_is_there_becomes_an_administrator_and_keeps_groups(house, let_in):
    before = house.someone(ADMIN, groups=["staff"]).get("/v1/auth/whoami").json
    assert (before["groups"], before["roles"]) == (["staff"], [])
    said = let_in()
    assert said.exit_code == 0, said.output
    house.clock.forward(seconds=1)
    rescued = house.voice(said.stdout.strip())
    who = rescued.get("/v1/auth/whoami").json
    assert (who["identity_id"], who["groups"], who["roles"]) == (ADMIN, ["staff"], ["tenant_admin"])


def test_the_trail_names_the_operator_and_not_the_token(house, ada, let_in):
    token = let_in().stdout.strip()
    [entry] = [each for each in ada.audit(action="token_create") if each["identity_id"] == "system:operator"]
    assert (entry["success"], entry["user_agent"]) == (True, "scaivault server")
    assert entry["extra_data"]["for_identity"] == ADMIN
    assert entry["extra_data"]["roles"] == ["tenant_admin"]
    assert token not in str(entry)


@pytest.mark.parametrize(("options", "hours"), [((), 24), (("--lifetime", "1h"), 1)])
def test_it_ends_after_a_day_unless_told_otherwise(ada, let_in, options, hours):
    assert let_in(*options).exit_code == 0
    [token] = [each for each in ada.get("/v1/auth/tokens").json["tokens"] if each["identity_id"] == ADMIN]
    created_at, ends_at = (datetime.fromisoformat(token[name]) for name in ("created_at", "expires_at"))
    assert ends_at - created_at == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"tenant": "tnt_nobody"}, "no such tenant"),
        ({"tenant": "ptn_test"}, "tnt_"),
        ({"admin": "alice"}, "user:NAME"),
        ({"admin": "service:deploy"}, "user:NAME"),
    ],
)
def test_nobody_is_let_in_to_nowhere(house, let_in, wrong, word):
    said = let_in(**wrong)
    assert said.exit_code != 0
    assert said.stdout == ""
    assert word.lower() in said.stderr.lower()


@pytest.mark.parametrize("lifetime", ["366d", "soon", "0s"])
def test_a_lifetime_has_bounds(let_in, lifetime):
    said = let_in("--lifetime", lifetime)
    assert (said.exit_code, said.stdout) == (2, "")
