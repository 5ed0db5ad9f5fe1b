"""The operations guide speaks of what there is: its links, commands, settings, addresses and alerts exist, and its rescue works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaivault import cli
from scaivault.settings import variables
from tests.faults.test_key_rotation import environ
from tests.house import TENANT
from tools.monitoring import dashboards

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/operations"
# What others write about: these are made from the code, or tested beside it.
GUIDE = [
    FOLDER / f"{name}.md" for name in ("README", "backup", "deployment", "disasters", "scaling", "sizing", "upgrade")
]
USERS = [ROOT / f"docs/{name}.md" for name in ("rotation", "subscriptions", "webhooks")]
PAGES = [*GUIDE, *USERS, ROOT / "grafana/README.md"]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
# Programs' own variables that look like ours.
FOREIGN = re.compile(r"PG[A-Z]+|BACKUP|KEY_BACKUP|CREATE|TENANT|ADMIN|TOKEN|SCAIVAULT_OPS_URL|TO_COME")


def anchors(page):
    """What GitHub calls a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name):
    for link in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), link
        assert not anchor or anchor in anchors(page), link


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", TEXTS["docs/operations/README.md"]))
    assert linked == {page.name for page in FOLDER.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_is_one(name):
    commands = re.findall(r"scaivault server ([a-z-]+)", TEXTS[name])
    assert set(commands) <= set(cli.server.commands)
    for command, option in re.findall(
        r"(?:server |`)(rotate-key|bootstrap|generate-key|let-in)[^\n`]*? (--[a-z-]+)", TEXTS[name]
    ):
        assert option in {each for parameter in cli.server.commands[command].params for each in parameter.opts}


@pytest.mark.parametrize("name", TEXTS)
def test_every_setting_is_one(name):
    known = {*variables(), *(f"{each}_FILE" for each in variables())}
    known |= {"EXPORTER_BIND_ADDRESS", "EXPORTER_DATABASE_URL", "EXPORTER_INTERVAL_SECONDS"}
    for word in re.findall(r"`([A-Z][A-Z0-9_]{3,})(?:=[^`]*)?`", TEXTS[name]):
        assert word in known or FOREIGN.fullmatch(word), word


def shape(address):
    """An address without its parameters' names, or what is behind `?` and `:`."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", "*", address.partition("?")[0])


def test_every_address_is_one(house):
    document = house.client.get("/v1/openapi.json").get_json()
    known = {shape(path) for path in document["paths"]} | {"/v1"}
    told = "\n".join([*TEXTS.values(), *dashboards.files().values()])
    named = {found.rstrip(".:") for found in re.findall(r"(/v1(?:/[\w{}.:-]+)*)", told)}
    assert {each for each in named if shape(each) not in known} == set()


def test_every_alert_is_one_that_a_panel_knows():
    known = {alert for each in dashboards.DASHBOARDS for panel in each.panels for alert in panel.alerts}
    named = set(re.findall(r"\bScaiVault[A-Z]\w+", "\n".join(TEXTS.values())))
    assert len(named) > 4
    assert named <= known


def test_who_is_locked_out_is_let_in(house, ada):
    commands = re.search(
        r"<!-- run: locked-out -->\n +```sh\n(.*?)\n +```", TEXTS["docs/operations/disasters.md"], re.DOTALL
    )[1]
    lines = [line.removeprefix("   ") for line in commands.splitlines()]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(lines)],
        env=environ(house.settings) | {"PATH": path, "TENANT": TENANT, "ADMIN": "user:rescuer@a.example"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rescuer = house.voice(done.stdout.strip())
    # A process that knew the tenant before learns of it as of any change.
    house.clock.forward(seconds=1)
    assert rescuer.get("/v1/auth/whoami").json["identity_id"] == "user:rescuer@a.example"
    policy = rescuer.post(
        "/v1/policies", {"name": "rescue", "rules": [{"path_pattern": "**", "permissions": ["read"]}]}
    )
    assert policy.status_code == 201
    listed = rescuer.get("/v1/auth/tokens").json
    assert any(each["identity_id"] != "user:rescuer@a.example" for each in listed["tokens"])
    [made] = [each for each in rescuer.audit(action="token_create") if each["identity_id"] == "system:operator"]
    assert made["extra_data"]["for_identity"] == "user:rescuer@a.example"
