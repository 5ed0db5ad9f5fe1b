import inspect
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from scaivault.features.policies.model.evaluation import Bound
from scaivault.features.policies.model.policies import Binding, Policy, Subject
from scaivault.features.policies.model.rules import parse_rules
from scaivault.features.policies.store import bindings, policies
from scaivault.kernel.caller import IdentityType
from scaivault.storage.database import Database
from scaivault.storage.errors import ConstraintViolated

OURS, THEIRS = "tnt_ours", "tnt_theirs"
NOW = datetime(2026, 7, 15, 12, 0, 0, 123456, tzinfo=UTC)
ADA = Subject(IdentityType.USER, "user:ada")
SRE = Subject(IdentityType.GROUP, "group:sre")
RULES = parse_rules(
    [
        {"path_pattern": "app/**", "permissions": ["read", "list"]},
        {
            "path_pattern": "app/*.key",
            "permissions": ["admin"],
            "effect": "deny",
            "conditions": {
                "ip_ranges": ["10.0.0.0/8", "2001:db8::/32"],
                "require_mfa": True,
                "mfa_max_age": "5m",
                "time_window": {"days": ["mon", "fri"], "start": "22:00", "end": "06:00", "timezone": "Europe/Berlin"},
            },
        },
    ]
)


@pytest.fixture
def database(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', 'A')")
        connection.execute(
            "INSERT INTO tenants (id, partner_id, name) VALUES (%s, 'ptn_a', ''), (%s, 'ptn_a', '')", (OURS, THEIRS)
        )
    database = Database(database_url, 2, lambda _seconds: None)
    database.open()
    yield database
    database.close()


@pytest.fixture
def session(database):
    with database.session() as session:
        yield session


def a_policy(number=1, **changes):
    policy = Policy(f"pol_{number:032x}", f"policy {number}", "why", RULES, True, 1, NOW, NOW)
    return replace(policy, **changes)


def a_binding(number=1, subject=ADA, policy_id=None, **changes):
    policy_id = policy_id or a_policy().id
    binding = Binding(f"bnd_{number:032x}", policy_id, subject.identity_type, subject.identity_id, None, NOW)
    return replace(binding, **changes)


def test_a_policy_comes_back_as_it_went_in(session):
    policies.add_policy(session, OURS, a_policy())
    assert policies.find_policy(session, OURS, a_policy().id) == a_policy()
    assert policies.find_policy(session, OURS, a_policy(2).id) is None


def test_changing_leaves_only_id_and_creation(session):
    policies.add_policy(session, OURS, a_policy())
    later = NOW + timedelta(hours=1)
    changed = a_policy(name="other", description="", rules=RULES[:1], is_active=False, revision=2, updated_at=later)
    assert policies.change_policy(session, OURS, changed) == 1
    assert policies.find_policy(session, OURS, changed.id) == changed


def test_policies_are_listed_by_name_in_pieces(session):
    for number in (3, 1, 2):
        policies.add_policy(session, OURS, a_policy(number))
    policies.add_policy(session, OURS, a_policy(4, is_active=False))
    bindings.add_binding(session, OURS, a_binding(1, policy_id=a_policy(2).id))
    bindings.add_binding(session, OURS, a_binding(2, SRE, policy_id=a_policy(2).id))

    def names(**changes):
        asked = {"after": None, "include_inactive": False, "limit": 10, **changes}
        return [row.name for row in policies.list_policies(session, OURS, **asked)]

    assert names() == ["policy 1", "policy 2", "policy 3"]
    assert names(limit=2) == ["policy 1", "policy 2"]
    assert names(after="policy 2") == ["policy 3"]
    assert names(include_inactive=True)[-1] == "policy 4"
    second = policies.list_policies(session, OURS, after="policy 1", include_inactive=False, limit=1)[0]
    assert (second.rule_count, second.binding_count) == (2, 2)
    assert policies.count_policies(session, OURS) == 4


def test_names_are_unique_in_a_tenant_only(session):
    policies.add_policy(session, OURS, a_policy(1, name="same"))
    policies.add_policy(session, THEIRS, a_policy(1, name="same"))
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        policies.add_policy(session, OURS, a_policy(2, name="same"))
    assert refusal.value.diag.constraint_name == policies.NAME_TAKEN


def test_a_subject_is_bound_once(session):
    policies.add_policy(session, OURS, a_policy())
    bindings.add_binding(session, OURS, a_binding(1))
    bindings.add_binding(session, OURS, a_binding(2, Subject(IdentityType.SERVICE_ACCOUNT, "user:ada")))
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        bindings.add_binding(session, OURS, a_binding(3))
    assert refusal.value.diag.constraint_name == bindings.SUBJECT_BOUND


def test_a_bound_policy_can_not_be_removed(database):
    with database.session() as session:
        policies.add_policy(session, OURS, a_policy())
        bindings.add_binding(session, OURS, a_binding())
    with pytest.raises(ConstraintViolated) as refusal, database.transaction() as tx:
        policies.remove_policy(tx, OURS, a_policy().id)
    assert refusal.value.constraint == "policy_bindings_policy_fkey"
    with database.transaction() as tx:
        assert bindings.remove_bindings(tx, OURS, a_policy().id) == 1
        assert policies.remove_policy(tx, OURS, a_policy().id) == 1
        assert policies.find_policy(tx, OURS, a_policy().id) is None


def test_a_binding_needs_its_policy_in_its_tenant(database):
    with database.session() as session:
        policies.add_policy(session, THEIRS, a_policy())
    with pytest.raises(ConstraintViolated) as refusal, database.transaction() as tx:
        bindings.add_binding(tx, OURS, a_binding())
    assert refusal.value.constraint == "policy_bindings_policy_fkey"


def test_bindings_are_listed_in_order_in_pieces(session):
    policies.add_policy(session, OURS, a_policy())
    made = [a_binding(1), a_binding(2, SRE, expires_at=NOW + timedelta(days=1))]
    for binding in reversed(made):
        bindings.add_binding(session, OURS, binding)
    policy_id = a_policy().id
    assert bindings.list_bindings(session, OURS, policy_id, after=None, limit=10) == made
    assert bindings.list_bindings(session, OURS, policy_id, after=None, limit=1) == made[:1]
    assert bindings.list_bindings(session, OURS, policy_id, after=made[0].id, limit=10) == made[1:]
    assert bindings.find_binding(session, OURS, policy_id, made[1].id) == made[1]
    assert bindings.count_bindings(session, OURS, policy_id) == 2
    assert bindings.remove_binding(session, OURS, policy_id, made[0].id) == 1
    assert bindings.find_binding(session, OURS, policy_id, made[0].id) is None


def test_only_an_expired_binding_makes_room(session):
    policies.add_policy(session, OURS, a_policy())
    bindings.add_binding(session, OURS, a_binding(1, expires_at=NOW))
    bindings.add_binding(session, OURS, a_binding(2, SRE))
    just_before = NOW - timedelta(microseconds=1)
    assert bindings.remove_expired_binding(session, OURS, a_policy().id, ADA, just_before) == 0
    assert bindings.remove_expired_binding(session, OURS, a_policy().id, SRE, NOW) == 0
    assert bindings.remove_expired_binding(session, OURS, a_policy().id, ADA, NOW) == 1


def test_what_somebody_is_bound_to_is_found_by_type_and_id(session):
    for number in (1, 2, 3, 4):
        policies.add_policy(session, OURS, a_policy(number, is_active=number != 3))
    soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    for number, subject, policy, expires_at in [
        (1, ADA, 1, soon),
        (2, SRE, 1, later),
        (3, ADA, 2, soon),
        (4, SRE, 2, None),
        (5, SRE, 3, soon),
        (6, Subject(IdentityType.SERVICE_ACCOUNT, "user:ada"), 4, None),
        (7, Subject(IdentityType.USER, "group:sre"), 4, None),
    ]:
        bindings.add_binding(
            session, OURS, a_binding(number, subject, policy_id=a_policy(policy).id, expires_at=expires_at)
        )
    assert bindings.list_bound(session, OURS, {ADA, SRE}) == [
        Bound(a_policy(1), later),
        Bound(a_policy(2), None),
        Bound(a_policy(3, is_active=False), soon),
    ]
    assert bindings.list_bound(session, OURS, {Subject(IdentityType.USER, "user:eve")}) == []


def test_a_claimed_policy_waits_for_its_claimant(database):
    with database.session() as session:
        policies.add_policy(session, OURS, a_policy())
    seen = []

    def change():
        with database.transaction() as tx:
            seen.append(policies.claim_policy(tx, OURS, a_policy().id).revision)

    with database.transaction() as tx:
        assert policies.claim_policy(tx, OURS, a_policy().id) == a_policy()
        other = threading.Thread(target=change)
        other.start()
        policies.change_policy(tx, OURS, a_policy(revision=2))
        other.join(0.2)
        assert seen == []
    other.join()
    assert seen == [2]


CALLS = {
    policies.list_policies: lambda call: call(after=None, include_inactive=True, limit=10),
    policies.count_policies: lambda call: call(),
    policies.find_policy: lambda call: call(a_policy().id),
    policies.claim_policy: lambda call: call(a_policy().id),
    policies.change_policy: lambda call: call(a_policy(name="stolen")),
    policies.remove_policy: lambda call: call(a_policy().id),
    bindings.list_bindings: lambda call: call(a_policy().id, after=None, limit=10),
    bindings.find_binding: lambda call: call(a_policy().id, a_binding().id),
    bindings.count_bindings: lambda call: call(a_policy().id),
    bindings.remove_binding: lambda call: call(a_policy().id, a_binding().id),
    bindings.remove_expired_binding: lambda call: call(a_policy().id, ADA, NOW + timedelta(days=9)),
    bindings.remove_bindings: lambda call: call(a_policy().id),
    bindings.list_bound: lambda call: call({ADA, SRE}),
}
ADDERS = {policies.add_policy, bindings.add_binding}


def test_every_store_function_is_tried_as_a_foreigner():
    functions = {
        function
        for module in (policies, bindings)
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not function.__name__.startswith("_")
    }
    assert functions == set(CALLS) | ADDERS


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_a_foreign_tenant_finds_and_changes_nothing(database, function):
    binding = a_binding(expires_at=NOW + timedelta(days=1))
    with database.session() as session:
        policies.add_policy(session, OURS, a_policy())
        bindings.add_binding(session, OURS, binding)
        assert not CALLS[function](lambda *args, **named: function(session, THEIRS, *args, **named))
        assert policies.find_policy(session, OURS, a_policy().id) == a_policy()
        assert bindings.find_binding(session, OURS, a_policy().id, binding.id) == binding


def test_two_tenants_with_the_same_ids_do_not_meet(session):
    for tenant_id in (OURS, THEIRS):
        policies.add_policy(session, tenant_id, a_policy(name=tenant_id))
        bindings.add_binding(session, tenant_id, a_binding())
    assert [each.policy.name for each in bindings.list_bound(session, OURS, {ADA})] == [OURS]
    listed = policies.list_policies(session, OURS, after=None, include_inactive=True, limit=10)
    assert [(row.name, row.binding_count) for row in listed] == [(OURS, 1)]
    assert bindings.remove_bindings(session, OURS, a_policy().id) == 1
    assert policies.remove_policy(session, OURS, a_policy().id) == 1
    assert policies.find_policy(session, THEIRS, a_policy().id) == a_policy(name=THEIRS)
    assert bindings.count_bindings(session, THEIRS, a_policy().id) == 1
