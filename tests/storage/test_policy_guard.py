import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import psycopg
import pytest

from scaivault.features.policies.errors import (
    BindingExists,
    BindingNotFound,
    InvalidPolicy,
    PolicyExists,
    PolicyInUse,
    PolicyNotFound,
    RevisionConflict,
)
from scaivault.features.policies.model.policies import (
    MAX_BINDINGS,
    MAX_POLICIES,
    Changes,
    Draft,
    PolicyScope,
    Subject,
    Wanted,
)
from scaivault.features.policies.model.rules import parse_rules
from scaivault.features.policies.service.guard import PolicyGuard
from scaivault.features.policies.service.policies import PolicyService, Trial
from scaivault.kernel.caller import Caller, IdentityType, Origin, Permission, Principal, Role, Scope
from scaivault.kernel.errors import (
    AccessDenied,
    InsufficientScope,
    IpNotAllowed,
    MfaRequired,
    TimeWindowViolation,
    Unavailable,
)
from scaivault.kernel.ids import new_id
from scaivault.kernel.journal import Action
from scaivault.kernel.paths import parse_path
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs
from scaivault.storage.errors import refusing
from tests.fakes import NobodyListens

TENANT = "tnt_a"
NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
PATH = parse_path("app/db")
ADA = Subject(IdentityType.USER, "user:ada")
SRE = Subject(IdentityType.GROUP, "group:sre")
FORCE_IN_SECONDS = 1.0


@dataclass
class SteppedClock:
    """Stands still until it is told."""

    instant: datetime = NOW

    def now(self):
        return self.instant


@dataclass
class RecordingJournal:
    """Keeps entries; refuses them while `is_down`."""

    database: Database
    entries: list = field(default_factory=list)
    is_down: bool = False

    @contextmanager
    def operation(self, _action, _caller, _path=None, *, refusals=None):
        with refusing(refusals or {}), self.database.transaction() as tx:
            yield tx

    def record(self, _tx, entry):
        self._keep(entry)

    def record_alone(self, entry):
        self._keep(entry)

    def find(self, kind, query, parameters, entry):
        raise NotImplementedError

    def _keep(self, entry):
        if self.is_down:
            raise Unavailable
        self.entries.append(entry)

    @property
    def denials(self):
        return [entry for entry in self.entries if entry.action is Action.POLICY_VIOLATION]


class FrozenEpochs:
    """Every tenant at the same epoch, for ever."""

    def of(self, _tenant_id):
        return 1


@dataclass
class House:
    database: Database
    journal: RecordingJournal = field(init=False)
    clock: SteppedClock = field(default_factory=SteppedClock)
    violations: list = field(default_factory=list)
    looked_up: list = field(default_factory=list)
    groups: dict = field(default_factory=dict)

    def __post_init__(self):
        self.journal = RecordingJournal(self.database)
        self.guard = self.another_guard()
        self.policies = PolicyService(
            self.database,
            self.journal,
            NobodyListens(),
            self.guard,
            self.clock,
            lambda tenant_id, identity_id: self.groups.get((tenant_id, identity_id), frozenset()),
        )

    def another_guard(self, **bounds):
        """What another process has: nothing in common but the database."""
        return PolicyGuard(
            self.database,
            self.journal,
            NobodyListens(),
            Epochs(self.database),
            self.clock,
            self.violations.append,
            self.looked_up.append,
            **bounds,
        )

    def policy(self, *rules, name=None, subject=ADA, expires_at=None, is_active=True):
        """A policy that is bound and that every guard made from now on knows."""
        draft = Draft(name or new_id("name"), "", parse_rules(list(rules)), is_active)
        policy = self.policies.create(ADMIN, draft).policy
        self.policies.bind(ADMIN, policy.id, subject, expires_at)
        self.guard = self.another_guard()
        return policy


@pytest.fixture
def house(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO partners (id, name) VALUES ('ptn_a', 'A')")
        connection.execute(
            "INSERT INTO tenants (id, partner_id, name) VALUES ('tnt_a', 'ptn_a', ''), ('tnt_b', 'ptn_a', '')"
        )
    database = Database(database_url, 4, lambda _seconds: None)
    database.open()
    yield House(database)
    database.close()


def a_caller(source_ip="10.1.2.3", **principal):
    fields = {
        "token_id": "tok_1",
        "partner_id": "ptn_a",
        "tenant_id": TENANT,
        "identity_id": "user:ada",
        "identity_type": IdentityType.USER,
        "display_name": "Ada",
        "scopes": frozenset(Scope),
        "groups": frozenset(),
        "roles": frozenset(),
        "token_expires_at": NOW + timedelta(days=1),
        **principal,
    }
    origin = Origin(ip_address(source_ip), "pytest", "req_1", "0" * 32, time.perf_counter())
    return Caller(Principal(**fields), origin)


ADMIN = a_caller(identity_id="user:root", roles=frozenset({Role.TENANT_ADMIN}))
CALLER = a_caller()


def a_rule(pattern="app/**", permissions=("read",), **more):
    return {"path_pattern": pattern, "permissions": list(permissions), **more}


def is_allowed(guard, caller=CALLER, permission=Permission.READ, path=PATH):
    try:
        guard.require(caller, permission, path)
    except AccessDenied:
        return False
    return True


def seconds_until(expected, guard):
    started = time.monotonic()
    while is_allowed(guard) is not expected:
        assert time.monotonic() - started < 10, "the change never came into force"
        time.sleep(0.01)
    return time.monotonic() - started


class TestChangesComeIntoForce:
    @pytest.fixture
    def elsewhere(self, house):
        guard = house.another_guard()
        assert not is_allowed(guard)
        return guard

    @pytest.fixture
    def policy(self, house, elsewhere):
        policy = house.policies.create(ADMIN, Draft("p", "", parse_rules([a_rule()]))).policy
        binding = house.policies.bind(ADMIN, policy.id, ADA, None)
        assert seconds_until(True, elsewhere) < FORCE_IN_SECONDS
        return policy, binding

    def test_unbinding(self, house, elsewhere, policy):
        house.policies.unbind(ADMIN, policy[0].id, policy[1].id)
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS

    def test_deactivating(self, house, elsewhere, policy):
        house.policies.change(ADMIN, policy[0].id, Changes(is_active=False), expected=None)
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS

    def test_replacing_the_rules(self, house, elsewhere, policy):
        draft = Draft("p", "", parse_rules([a_rule("web/**")]))
        house.policies.replace(ADMIN, policy[0].id, draft, expected=1)
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS

    def test_deleting(self, house, elsewhere, policy):
        house.policies.delete(ADMIN, policy[0].id, force=True, expected=None)
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS

    def test_one_more_deny(self, house, elsewhere, policy):
        house.policy(a_rule("**", ["admin"], effect="deny"))
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS

    def test_an_expiry_needs_no_change_at_all(self, house, elsewhere, policy):
        house.policies.unbind(ADMIN, policy[0].id, policy[1].id)
        assert seconds_until(False, elsewhere) < FORCE_IN_SECONDS
        house.policies.bind(ADMIN, policy[0].id, ADA, NOW + timedelta(minutes=1))
        assert seconds_until(True, elsewhere) < FORCE_IN_SECONDS
        house.clock.instant = NOW + timedelta(minutes=1)
        assert not is_allowed(elsewhere)

    def test_what_was_rolled_back_never_does(self, house, elsewhere):
        house.journal.is_down = True
        with pytest.raises(Unavailable):
            house.policies.create(ADMIN, Draft("p", "", parse_rules([a_rule()])))
        house.journal.is_down = False
        assert house.policies.list(ADMIN, Wanted(), after=None, limit=10).items == ()


class TestRequire:
    def test_scope_and_policy_must_both_allow(self, house):
        house.policy(a_rule(permissions=["read", "write"]))
        house.guard.require(CALLER, Permission.READ, PATH)
        narrow = a_caller(scopes=frozenset({Scope.SECRETS_READ}))
        house.guard.require(narrow, Permission.READ, PATH)
        with pytest.raises(InsufficientScope) as refusal:
            house.guard.require(narrow, Permission.WRITE, PATH)
        assert refusal.value.details == {"required_scope": "secrets:write"}
        with pytest.raises(AccessDenied):
            house.guard.require(CALLER, Permission.DELETE, PATH)

    @pytest.mark.parametrize(
        ("permission", "scope"),
        [
            ("read", "secrets:read"),
            ("write", "secrets:write"),
            ("delete", "secrets:delete"),
            ("list", "secrets:list"),
            ("rotate", "secrets:rotate"),
            ("admin", "admin"),
        ],
    )
    def test_each_permission_takes_its_scope(self, house, permission, scope):
        house.policy(a_rule(permissions=["admin"]))
        house.guard.require(a_caller(scopes=frozenset({Scope(scope)})), Permission(permission), PATH)
        with pytest.raises(InsufficientScope):
            house.guard.require(a_caller(scopes=frozenset(Scope) - {Scope(scope)}), Permission(permission), PATH)

    def test_a_tenant_admin_reads_nothing_without_a_rule(self, house):
        with pytest.raises(AccessDenied):
            house.guard.require(ADMIN, Permission.READ, PATH)

    def test_bindings_match_by_type_and_id_or_by_group_in_their_tenant(self, house):
        house.policy(a_rule(), subject=ADA)
        house.policy(a_rule("web/**"), subject=SRE)
        web = parse_path("web/db")
        member = a_caller(identity_id="user:eve", groups=frozenset({"group:sre"}))
        assert is_allowed(house.guard, CALLER)
        assert not is_allowed(house.guard, CALLER, path=web)
        assert is_allowed(house.guard, member, path=web)
        assert not is_allowed(house.guard, member)
        assert not is_allowed(house.guard, a_caller(identity_type=IdentityType.SERVICE_ACCOUNT))
        assert not is_allowed(house.guard, a_caller(identity_id="group:sre"), path=web)
        assert not is_allowed(house.guard, a_caller(tenant_id="tnt_b"))

    def test_groups_are_part_of_what_is_remembered(self, house):
        house.policy(a_rule(), subject=SRE)
        assert is_allowed(house.guard, a_caller(groups=frozenset({"group:sre"})))
        assert not is_allowed(house.guard, a_caller())

    def test_conditions_are_asked_on_every_request(self, house):
        window = {"days": ["wed"], "start": "09:00", "end": "17:00", "timezone": "UTC"}
        conditions = {"ip_ranges": ["10.0.0.0/8"], "require_mfa": True, "time_window": window}
        house.policy(a_rule(conditions=conditions))
        fresh = a_caller(mfa_verified_at=NOW)
        house.guard.require(fresh, Permission.READ, PATH)
        with pytest.raises(IpNotAllowed):
            house.guard.require(a_caller("192.0.2.1", mfa_verified_at=NOW), Permission.READ, PATH)
        house.guard.require(a_caller("::ffff:10.0.0.1", mfa_verified_at=NOW), Permission.READ, PATH)
        house.clock.instant = NOW + timedelta(minutes=16)
        with pytest.raises(MfaRequired):
            house.guard.require(fresh, Permission.READ, PATH)
        house.clock.instant = NOW + timedelta(hours=5)
        with pytest.raises(TimeWindowViolation):
            house.guard.require(a_caller(mfa_verified_at=house.clock.instant), Permission.READ, PATH)
        assert [entry.extra["failed_condition"] for entry in house.journal.denials] == [
            "ip_ranges",
            "require_mfa",
            "time_window",
        ]


class TestDenials:
    def test_every_refusal_is_journalled_and_counted_before_it_is_raised(self, house):
        scopeless = a_caller(scopes=frozenset())
        for refused in (
            lambda: house.guard.require(CALLER, Permission.READ, PATH),
            lambda: house.guard.require(scopeless, Permission.WRITE, PATH),
            lambda: house.guard.require_scope(scopeless, Scope.AUDIT_READ),
            lambda: house.guard.require_tenant_admin(CALLER),
            lambda: house.guard.reach(scopeless, Permission.LIST),
        ):
            with pytest.raises((AccessDenied, InsufficientScope)):
                refused()
        told = [
            (
                entry.path,
                entry.success,
                entry.extra["attempted"],
                entry.extra["reason"],
                entry.extra["failed_condition"],
            )
            for entry in house.journal.entries
        ]
        assert told == [
            (PATH, False, "read", "access_denied", None),
            (PATH, False, "write", "insufficient_scope", None),
            (None, False, "audit:read", "insufficient_scope", None),
            (None, False, "tenant_admin", "access_denied", None),
            (None, False, "list", "insufficient_scope", None),
        ]
        assert house.violations == [TENANT] * 5

    def test_what_can_not_be_journalled_is_unavailable_and_refused(self, house):
        house.journal.is_down = True
        with pytest.raises(Unavailable):
            house.guard.require(CALLER, Permission.READ, PATH)
        with pytest.raises(Unavailable):
            house.guard.require_scope(a_caller(scopes=frozenset()), Scope.AUDIT_READ)

    def test_without_a_database_nothing_is_allowed(self, house):
        house.policy(a_rule())
        closed = Database("postgresql://nobody@127.0.0.1:1/none", 1, lambda _seconds: None)
        guard = PolicyGuard(closed, house.journal, NobodyListens(), Epochs(closed), house.clock, print, print)
        with pytest.raises(Unavailable):
            guard.require(CALLER, Permission.READ, PATH)

    def test_an_unreadable_policy_closes_the_door(self, house, database_url):
        policy = house.policy(a_rule())
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "UPDATE policies SET rules = jsonb_set(rules, '{0,permissions}', '[\"fly\"]') WHERE id = %s",
                (policy.id,),
            )
        with pytest.raises(Unavailable):
            house.guard.require(CALLER, Permission.READ, PATH)

    @pytest.mark.parametrize("role", Role)
    def test_administrators_of_more_administer_the_tenant(self, house, role):
        house.guard.require_tenant_admin(a_caller(roles=frozenset({role})))


class TestReach:
    def test_it_covers_what_require_allows(self, house):
        house.policy(a_rule("app/**", ["list"]), a_rule("app/secret/*", ["list"], effect="deny"))
        house.policy(a_rule("app/db", ["list"]), a_rule("web/a*", ["list"]), a_rule("mail/**", ["read"]))
        reach = house.guard.reach(CALLER, Permission.LIST)
        assert reach.prefixes == ("app/", "web/a")
        for path in ("app/db", "app/secret/key", "app/secret/a/b", "web/a", "web/b", "mail/x", "app"):
            assert reach.covers(path) == is_allowed(house.guard, permission=Permission.LIST, path=parse_path(path))

    def test_without_a_rule_it_is_nowhere(self, house):
        reach = house.guard.reach(CALLER, Permission.LIST)
        assert (reach.prefixes, reach.covers("app/db")) == ((), False)
        assert house.journal.entries == []


class TestCache:
    def test_a_second_request_asks_nothing(self, house):
        house.policy(a_rule())
        house.looked_up.clear()
        for _ in range(3):
            house.guard.require(CALLER, Permission.READ, PATH)
        house.guard.reach(CALLER, Permission.READ)
        assert house.looked_up == ["miss", "hit", "hit", "hit"]

    def test_two_tenants_views_do_not_meet_whatever_their_epochs(self, house):
        house.policy(a_rule())
        guard = PolicyGuard(
            house.database,
            house.journal,
            NobodyListens(),
            FrozenEpochs(),
            house.clock,
            print,
            house.looked_up.append,
        )
        assert is_allowed(guard)
        assert not is_allowed(guard, a_caller(tenant_id="tnt_b"))
        assert not is_allowed(guard, a_caller(identity_type=IdentityType.SERVICE_ACCOUNT))
        assert is_allowed(guard)

    def test_the_least_recently_used_view_goes_first(self, house):
        guard = house.another_guard(max_views=2)
        one, two, three = (a_caller(identity_id=f"user:{name}") for name in ("one", "two", "three"))
        house.looked_up.clear()
        for caller in (one, two, one, three, one, two):
            is_allowed(guard, caller)
        assert house.looked_up == ["miss", "miss", "hit", "miss", "hit", "miss"]

    def test_views_are_bounded_by_their_rules_too(self, house):
        ranges = [f"10.{number}.0.0/16" for number in range(9)]
        for name in ("one", "two"):
            subject = Subject(IdentityType.USER, f"user:{name}")
            house.policy(a_rule(conditions={"ip_ranges": ranges}), subject=subject)
        one, two = (a_caller(identity_id=f"user:{name}") for name in ("one", "two"))
        for most, expected in [(20, ["miss", "miss", "hit"]), (19, ["miss", "miss", "miss"]), (9, ["miss"] * 3)]:
            guard = house.another_guard(max_weight=most)
            house.looked_up.clear()
            for caller in (one, two, one):
                guard.require(caller, Permission.READ, PATH)
            assert house.looked_up == expected

    def test_callers_of_one_policy_share_it(self, house):
        house.policy(a_rule(), subject=SRE)
        callers = [a_caller(identity_id=f"user:{n}", groups=frozenset({"group:sre"})) for n in range(2)]
        for caller in callers:
            house.guard.require(caller, Permission.READ, PATH)
        one, other = (house.guard._views.of(caller.principal)[0].policy for caller in callers)
        assert one is other

    def test_many_threads_at_once_get_the_same_answer(self, house):
        house.policy(a_rule())
        guard = house.another_guard(max_views=2)
        callers = [replace(CALLER, principal=replace(CALLER.principal, token_id=f"t{n}")) for n in range(4)]
        strangers = [a_caller(identity_id=f"user:{n}") for n in range(4)]
        wrong = []

        def ask(caller, expected):
            wrong.extend(1 for _ in range(50) if is_allowed(guard, caller) is not expected)

        threads = [threading.Thread(target=ask, args=(caller, caller in callers)) for caller in callers + strangers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestAdministration:
    def test_writing_takes_the_scope_and_an_administrator(self, house):
        draft = Draft("p", "", parse_rules([a_rule()]))
        with pytest.raises(AccessDenied):
            house.policies.create(CALLER, draft)
        with pytest.raises(InsufficientScope):
            house.policies.create(
                replace(ADMIN, principal=replace(ADMIN.principal, scopes=frozenset({Scope.POLICIES_READ}))), draft
            )
        with pytest.raises(InsufficientScope):
            house.policies.list(a_caller(scopes=frozenset()), Wanted(), after=None, limit=1)

    def test_every_change_is_journalled(self, house):
        draft = Draft("p", "", parse_rules([a_rule()]))
        policy = house.policies.create(ADMIN, draft).policy
        house.policies.change(ADMIN, policy.id, Changes(description="why"), expected=1)
        binding = house.policies.bind(ADMIN, policy.id, SRE, None)
        house.policies.unbind(ADMIN, policy.id, binding.id)
        house.policies.delete(ADMIN, policy.id, force=False, expected=2)
        assert [(entry.action.value, entry.success) for entry in house.journal.entries] == [
            (action, True)
            for action in ("policy_create", "policy_update", "policy_bind", "policy_unbind", "policy_delete")
        ]
        assert {entry.extra["policy_id"] for entry in house.journal.entries} == {policy.id}

    def test_a_policy_is_read_with_its_bindings(self, house):
        policy = house.policy(a_rule())
        detail = house.policies.read(ADMIN, policy.id)
        assert detail.policy == policy
        assert [(each.identity_type, each.identity_id) for each in detail.bindings] == [("user", "user:ada")]
        with pytest.raises(PolicyNotFound):
            house.policies.read(a_caller(tenant_id="tnt_b"), policy.id)

    def test_replacing_keeps_the_bindings(self, house):
        policy = house.policy(a_rule())
        detail = house.policies.replace(
            ADMIN, policy.id, Draft("new", "text", parse_rules([a_rule("web/*")]), is_active=False), expected=None
        )
        assert (detail.policy.name, detail.policy.revision, len(detail.bindings)) == ("new", 2, 1)
        assert house.policies.read(ADMIN, policy.id) == detail

    def test_a_stale_writer_is_told_the_present_revision(self, house):
        policy = house.policy(a_rule())
        house.policies.change(ADMIN, policy.id, Changes(description="first"), expected=1)
        for write in (
            lambda: house.policies.change(ADMIN, policy.id, Changes(description="second"), expected=1),
            lambda: house.policies.delete(ADMIN, policy.id, force=True, expected=1),
        ):
            with pytest.raises(RevisionConflict) as refusal:
                write()
            assert refusal.value.details == {"current_revision": 2}

    def test_of_two_writers_at_once_one_is_refused(self, house):
        policy = house.policy(a_rule())
        outcomes = []

        def write(text):
            try:
                house.policies.change(ADMIN, policy.id, Changes(description=text), expected=1)
                outcomes.append(text)
            except RevisionConflict:
                outcomes.append(None)

        threads = [threading.Thread(target=write, args=(text,)) for text in ("one", "two", "three")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(None) == 2

    def test_names_are_taken_once(self, house):
        house.policy(a_rule(), name="same")
        other = house.policy(a_rule(), name="other")
        with pytest.raises(PolicyExists):
            house.policies.create(ADMIN, Draft("same", "", parse_rules([a_rule()])))
        with pytest.raises(PolicyExists):
            house.policies.change(ADMIN, other.id, Changes(name="same"), expected=None)

    def test_a_bound_policy_is_deleted_by_force_only(self, house):
        policy = house.policy(a_rule())
        with pytest.raises(PolicyInUse) as refusal:
            house.policies.delete(ADMIN, policy.id, force=False, expected=None)
        assert refusal.value.details == {"binding_count": 1}
        house.policies.delete(ADMIN, policy.id, force=True, expected=None)
        with pytest.raises(PolicyNotFound):
            house.policies.bindings(ADMIN, policy.id, after=None, limit=1)

    def test_a_subject_is_bound_once_unless_it_has_expired(self, house):
        policy = house.policy(a_rule(), expires_at=NOW + timedelta(hours=1))
        with pytest.raises(BindingExists):
            house.policies.bind(ADMIN, policy.id, ADA, None)
        house.clock.instant = NOW + timedelta(hours=1)
        again = house.policies.bind(ADMIN, policy.id, ADA, None)
        assert house.policies.bindings(ADMIN, policy.id, after=None, limit=9).items == (again,)

    def test_what_is_not_there_is_named(self, house):
        policy = house.policy(a_rule())
        for unknown in ("pol_" + "0" * 32, "pol_1", "", "\x00", "pol_" + "٣" * 32):
            with pytest.raises(PolicyNotFound):
                house.policies.read(ADMIN, unknown)
            with pytest.raises(PolicyNotFound):
                house.policies.bind(ADMIN, unknown, ADA, None)
            with pytest.raises(PolicyNotFound):
                house.policies.bindings(ADMIN, unknown, after=None, limit=1)
            with pytest.raises(BindingNotFound):
                house.policies.unbind(ADMIN, policy.id, unknown)

    def test_lists_come_in_pieces(self, house):
        for name in "cab":
            house.policy(a_rule(), name=name, is_active=name != "c")
        first = house.policies.list(ADMIN, Wanted(), after=None, limit=1)
        assert ([row.name for row in first.items], first.has_more) == (["a"], True)
        rest = house.policies.list(ADMIN, Wanted(include_inactive=True), after="a", limit=2)
        assert ([row.name for row in rest.items], rest.has_more) == (["b", "c"], False)
        assert house.policies.list(ADMIN, Wanted(PolicyScope.PARTNER), after=None, limit=1).items == ()

    def test_limits_are_named(self, house, database_url):
        policy = house.policy(a_rule())
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                """
                INSERT INTO policies
                SELECT tenant_id, 'pol_' || n, 'policy ' || n, '', rules, true, 1, now(), now()
                  FROM policies, generate_series(2, %s) AS n
                """,
                (MAX_POLICIES,),
            )
            connection.execute(
                """
                INSERT INTO policy_bindings
                SELECT tenant_id, 'bnd_' || n, policy_id, 'user', 'user:' || n, NULL, now()
                  FROM policy_bindings, generate_series(2, %s) AS n
                """,
                (MAX_BINDINGS,),
            )
        with pytest.raises(InvalidPolicy, match="1000 policies"):
            house.policies.create(ADMIN, Draft("one more", "", parse_rules([a_rule()])))
        with pytest.raises(InvalidPolicy, match="1000 bindings"):
            house.policies.bind(ADMIN, policy.id, SRE, None)
        assert len(house.policies.read(ADMIN, policy.id).bindings) == MAX_BINDINGS


class TestTrials:
    def a_trial(self, subject=ADA, **more):
        return Trial(subject, more.pop("groups", None), Permission.READ, PATH, **more)

    def test_it_asks_what_require_would(self, house):
        policy = house.policy(a_rule(conditions={"ip_ranges": ["10.0.0.0/8"]}))
        allowed = house.policies.test(ADMIN, self.a_trial(source_ip=ip_address("10.0.0.1"))).decision
        assert allowed.is_allowed
        assert (allowed.matched.policy.id, allowed.matched.rule_index) == (policy.id, 0)
        refused = house.policies.test(ADMIN, self.a_trial()).decision
        assert (refused.is_allowed, refused.failed_condition) == (False, "ip_ranges")

    def test_it_leaves_no_trace(self, house):
        before = len(house.journal.entries)
        tried = house.policies.test(ADMIN, self.a_trial())
        assert (tried.decision.is_allowed, tried.findings) == (False, ())
        assert len(house.journal.entries) == before

    def test_groups_are_looked_up_unless_given(self, house):
        house.policy(a_rule(), subject=SRE)
        assert not house.policies.test(ADMIN, self.a_trial()).decision.is_allowed
        assert house.policies.test(ADMIN, self.a_trial(groups=frozenset({"group:sre"}))).decision.is_allowed
        assert house.policies.test(ADMIN, self.a_trial(subject=SRE)).decision.is_allowed
        house.groups[TENANT, "user:ada"] = frozenset({"group:sre"})
        assert house.policies.test(ADMIN, self.a_trial()).decision.is_allowed
        assert not house.policies.test(ADMIN, self.a_trial(groups=frozenset())).decision.is_allowed

    def test_time_and_mfa_are_as_supposed(self, house):
        house.policy(a_rule(conditions={"require_mfa": True}), expires_at=NOW + timedelta(days=1))
        assert house.policies.test(ADMIN, self.a_trial(is_mfa_verified=True)).decision.is_allowed
        assert house.policies.test(ADMIN, self.a_trial()).decision.failed_condition == "require_mfa"
        later = NOW + timedelta(days=2)
        assert not house.policies.test(ADMIN, self.a_trial(is_mfa_verified=True, asked_at=later)).decision.is_allowed

    def test_it_takes_the_reading_scope(self, house):
        with pytest.raises(InsufficientScope):
            house.policies.test(a_caller(scopes=frozenset({Scope.POLICIES_WRITE})), self.a_trial())
