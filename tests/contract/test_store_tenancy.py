"""No statement forgets whose rows it is about. Read from the source: every string of SQL in every store."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from scaivault.features.identity import store as identity_store
from scaivault.storage.database import Session
from tests.contract.test_schema import TENANT_TABLES

FEATURES = Path(importlib.import_module("scaivault.features").__path__[0])
STORES = sorted(
    [*FEATURES.glob("*/store.py"), *(file for file in FEATURES.glob("*/store/*.py") if file.name != "__init__.py")]
)
VERB = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|LOCK TABLE|TRUNCATE|MERGE|COPY)\b")
TABLE = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|USING)\s+(?:ONLY\s+)?({'|'.join(TENANT_TABLES)})\b")

# By function: why the statement need not name a tenant, or the function need not be told one.
WITHOUT_TENANT = {
    "identity.find_token": "the look-up by which the tenant is learnt, by a digest nobody can guess",
    "events.list_undispatched": "a worker's look at what is to be told, each row with its tenant",
    "events.remove_expired_secrets": "a worker's tidying, by age alone",
    "events.remove_hours_before": "as above",
}
NOT_TOLD = {
    "identity.find_token": "the look-up by which the tenant is learnt",
    "identity.claim_installation": "there is no tenant yet",
    "identity.count_tenants": "is there a tenant at all",
    "identity.add_partner": "above tenants",
    "identity.add_shared_space": "the tenant it makes has the partner's id",
    "directory.list_partners": "above tenants",
    "directory.count_partners": "above tenants",
    "directory.change_partner": "above tenants",
    "directory.add_partner": "above tenants",
    "directory.add_shared_space": "the tenant it makes has the partner's id",
    "directory.list_tenants": "all tenants of a partner, or of the installation: who may ask is the service's to say",
    "directory.count_tenants": "as above",
    "directory.list_tenant_ids": "all tenants of a partner",
    "directory.add_event": "events are the installation's",
    "directory.remove_events_before": "as above",
    "directory.add_sync": "syncs are the installation's, each of a territory: who may ask is the service's to say",
    "directory.claim_schedule": "as above",
    "directory.add_sync_unless_since": "as above",
    "directory.claim_sync": "as above",
    "directory.change_lease": "as above",
    "directory.change_finished": "as above",
    "directory.remove_syncs_before": "as above",
    "directory.list_syncs": "as above",
    "directory.count_syncs": "as above",
    "directory.count_queued": "as above",
    "directory.claim_partner_status": "above tenants",
    "events.list_listening": "a worker dispatches many tenants' events at once, each row with its tenant",
    "events.list_undispatched": "as above",
    "events.change_dispatched": "as above",
    "events.claim_lanes": "as above",
    "events.change_due": "as above",
    "events.add_deliveries": "as above",
    "events.claim_due_lane": "a worker takes whichever is due, and learns whose it is",
    "events.claim_buffers": "as above",
    "events.add_buffered": "as above, each event with its tenant",
    "events.remove_beyond_size": "as above",
    "events.list_stirred": "one look-out for all who wait, each with its tenant",
    "events.claim_dispatch": "a lock of the installation's",
    "events.remove_events_before": "a worker's tidying, by age alone",
    "events.remove_expired_secrets": "as above",
    "events.remove_hours_before": "as above",
    "secrets.claim_due_notices": "a worker takes whichever are due, each row with its tenant",
    "secrets.change_notices": "as above",
    "secrets.change_last_accessed": "many tenants' notes in one statement, each row with its tenant",
    "rotation.list_due_tenants": "a worker asks who has something due",
    "rotation.list_unsettled": "a worker asks whose policies have work left, each row with its tenant",
    "rotation.remove_items_before": "a worker's tidying, by age alone",
    "audit.add_entry": "the tenant is among the entry's fields, and a column of the statement",
    "audit.find_recorded": "the tenant is among the entry's fields and in the look-up it is given",
    "audit.add_months": "tables for all tenants",
    "audit.has_next_month": "as above",
}


def module_of(file):
    return "scaivault.features." + ".".join(file.relative_to(FEATURES).with_suffix("").parts)


def short(module, place):
    """`secrets.add_version`, in whichever file of the store it stands."""
    return f"{module.__name__.removeprefix('scaivault.features.').partition('.')[0]}.{place}"


class Statements(ast.NodeVisitor):
    """Every string of a module that is SQL, with the function it stands in; its own constants filled in."""

    def __init__(self, module):
        self.module = module
        self.place = ["<module>"]
        self.found = []

    def visit_FunctionDef(self, node):
        self.place.append(node.name)
        self.generic_visit(node)
        self.place.pop()

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.note(node.value)

    def visit_JoinedStr(self, node):
        self.note("".join(self.piece(part) for part in node.values))

    def piece(self, part):
        if isinstance(part, ast.Constant):
            return part.value
        if isinstance(part.value, ast.Name):
            return str(getattr(self.module, part.value.id, "…"))
        return "…"

    def note(self, text):
        if VERB.search(text) and TABLE.search(text):
            self.found.append((self.place[-1], text))


def statements():
    for file in STORES:
        module = importlib.import_module(module_of(file))
        reader = Statements(module)
        reader.visit(ast.parse(file.read_text()))
        yield from (
            pytest.param(short(module, place), text, id=f"{short(module, place)}-{number}")
            for number, (place, text) in enumerate(reader.found)
        )


def functions():
    for file in STORES:
        module = importlib.import_module(module_of(file))
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield pytest.param(short(module, name), function, id=short(module, name))


STATEMENTS = list(statements())
FUNCTIONS = list(functions())


def test_all_stores_are_looked_at():
    assert {file.relative_to(FEATURES).parts[0] for file in STORES} == {
        "audit",
        "directory",
        "events",
        "generators",
        "identity",
        "policies",
        "rotation",
        "secrets",
    }
    assert len(STATEMENTS) >= 35
    assert len(FUNCTIONS) >= 40


def forgotten(statement):
    """How many of the statement's mentions of tenants' tables have no mention of a tenant to go with them."""
    without_parameters = re.sub(r"%\(\w+\)s", "", statement)
    return max(0, len(TABLE.findall(statement)) - len(re.findall(r"\btenant_id\b", without_parameters)))


@pytest.mark.parametrize(("place", "statement"), STATEMENTS)
def test_every_statement_on_a_tenants_table_names_the_tenant_once_for_each_of_them(place, statement):
    if place in WITHOUT_TENANT:
        assert "%(tenant_id)s" not in statement, "no exception is needed any more"
    else:
        assert forgotten(statement) == 0, statement


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("SELECT path FROM secrets WHERE tenant_id = %(tenant_id)s", 0),
        ("SELECT path FROM secrets WHERE path = %(path)s", 1),
        ("DELETE FROM secrets WHERE path = %(tenant_id)s", 1),
        ("UPDATE tokens SET revoked_at = now()", 1),
        ("SELECT 1 FROM secrets JOIN secret_tags ON secret_tags.path = secrets.path WHERE secrets.tenant_id = 1", 1),
    ],
)
def test_a_statement_that_forgets_a_tenant_would_be_found(statement, count):
    assert forgotten(statement) == count


@pytest.mark.parametrize(("place", "statement"), STATEMENTS)
def test_no_statement_takes_a_tenant_from_its_text(place, statement):
    """Tenants come as parameters or from a row that has been told one."""
    assert re.search(r"tenant_id\s*(?:=|IN)\s*\(?\s*'", statement) is None


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_every_public_function_of_a_store_is_told_the_tenant(name, function):
    parameters = list(inspect.signature(function).parameters.values())
    assert parameters[0].annotation in (Session, "Session")
    if name in NOT_TOLD:
        assert "tenant_id" not in [each.name for each in parameters], "no exception is needed any more"
        return
    assert parameters[1].name == "tenant_id"
    assert parameters[1].annotation in (str, "str")
    assert parameters[1].default is inspect.Parameter.empty


def test_every_exception_is_about_something_that_is_there():
    names = {parameter.values[0] for parameter in FUNCTIONS}
    assert names >= NOT_TOLD.keys() | WITHOUT_TENANT.keys()
    assert identity_store.find_token.__doc__
