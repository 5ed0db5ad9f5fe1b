import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaivault.features.policies.errors import InvalidPolicy
from scaivault.features.policies.model.conditions import Condition, Conditions, Context
from scaivault.features.policies.model.evaluation import AnyOf, Bound, Verdict, evaluate, explain, outlook, territory
from scaivault.features.policies.model.policies import Policy, Subject, check_expiry, parse_subject, subjects
from scaivault.features.policies.model.rules import Effect, Rule, parse_rules
from scaivault.kernel.caller import IdentityType, Permission
from scaivault.kernel.errors import (
    AccessDenied,
    InvalidDuration,
    InvalidGlob,
    IpNotAllowed,
    MfaRequired,
    TimeWindowViolation,
)

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)  # a Wednesday
HERE = Context(NOW, ip_address("10.1.2.3"))
OFFICE = {"ip_ranges": ["10.0.0.0/8"]}
ELSEWHERE = {"ip_ranges": ["192.0.2.0/24"]}
MFA = {"require_mfa": True}
NIGHT = {"time_window": {"days": ["wed"], "start": "22:00", "end": "06:00", "timezone": "UTC"}}


def a_rule(pattern="app/**", permissions=("read",), effect="allow", conditions=None):
    return Rule.from_json(
        {"path_pattern": pattern, "permissions": list(permissions), "effect": effect, "conditions": conditions}
    )


def a_policy(*rules, name="policy", is_active=True):
    return Policy(f"pol_{name}", name, "", rules, is_active, 1, NOW, NOW)


def bound(*rules, name="policy", is_active=True, expires_at=None):
    return Bound(a_policy(*rules, name=name, is_active=is_active), expires_at)


def allows(bounds, permission=Permission.READ, path="app/db", context=HERE):
    return evaluate(bounds, permission, path, context).is_allowed


# Few letters and few patterns, so that rules meet often.
patterns = st.sampled_from(["**", "app/**", "app/*", "app/db", "**/db", "web/**", "app/d?"])
paths = st.sampled_from(["app/db", "app/web", "app/db/main", "web/db", "db"])
permissions = st.sampled_from(list(Permission))
conditions = st.sampled_from([None, OFFICE, ELSEWHERE, MFA, NIGHT, {**OFFICE, **MFA}])
effects = st.sampled_from(list(Effect))


def rules(effects=effects, conditions=conditions):
    return st.builds(
        a_rule,
        pattern=patterns,
        permissions=st.lists(permissions, min_size=1, max_size=3, unique=True),
        effect=effects,
        conditions=conditions,
    )


expiries = st.sampled_from([None, NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)])
bounds_ = st.lists(
    st.builds(
        lambda rules, is_active, expires_at: bound(*rules, is_active=is_active, expires_at=expires_at),
        st.lists(rules(), min_size=1, max_size=4),
        st.booleans(),
        expiries,
    ),
    max_size=4,
)
contexts = st.builds(
    Context,
    now=st.just(NOW) | st.just(NOW.replace(hour=23)),
    source_ip=st.sampled_from([ip_address("10.1.2.3"), ip_address("::ffff:10.1.2.3"), ip_address("2001:db8::1"), None]),
    mfa_verified_at=st.sampled_from([None, NOW, NOW - timedelta(minutes=10), NOW - timedelta(days=1)]),
)


@given(bounds_, permissions, paths, contexts, st.data())
def test_a_deny_that_applies_always_wins(bounds, permission, path, context, data):
    deny = a_rule("**", [data.draw(st.sampled_from([permission, Permission.ADMIN]))], "deny")
    rest = data.draw(st.lists(rules(), max_size=3))
    whole = data.draw(st.permutations([deny, *rest]))
    everyone = data.draw(st.permutations([bound(*whole, name="guardrail"), *bounds]))
    decision = evaluate(everyone, permission, path, context)
    assert not decision.is_allowed
    assert isinstance(decision.refusal(), AccessDenied)
    assert decision.matched.rule.effect is Effect.DENY


@given(bounds_, permissions, paths, contexts, rules(st.just("allow")))
def test_one_more_allow_never_takes_access_away(bounds, permission, path, context, rule):
    if allows(bounds, permission, path, context):
        assert allows([*bounds, bound(rule)], permission, path, context)
        assert allows([bound(rule), *bounds], permission, path, context)


@given(bounds_, permissions, paths, contexts, rules(st.just("deny")))
def test_one_more_deny_never_gives_access(bounds, permission, path, context, rule):
    if not allows(bounds, permission, path, context):
        assert not allows([*bounds, bound(rule)], permission, path, context)
        assert not allows([bound(rule), *bounds], permission, path, context)


@given(bounds_, permissions, paths, contexts, st.randoms(use_true_random=False))
def test_the_order_of_policies_and_rules_does_not_matter(bounds, permission, path, context, random):
    shuffled = [
        replace(
            each, policy=replace(each.policy, rules=tuple(random.sample(each.policy.rules, len(each.policy.rules))))
        )
        for each in random.sample(bounds, len(bounds))
    ]
    first, second = (evaluate(each, permission, path, context) for each in (bounds, shuffled))
    assert first.is_allowed == second.is_allowed
    assert first.failed_condition == second.failed_condition


@given(bounds_, permissions, paths, contexts)
def test_an_expired_binding_and_an_inactive_policy_are_none(bounds, permission, path, context):
    live = [
        each for each in bounds if each.policy.is_active and (each.expires_at is None or context.now < each.expires_at)
    ]
    assert allows(bounds, permission, path, context) == allows(live, permission, path, context)


@given(bounds_, permissions, paths, contexts)
def test_a_decision_is_what_the_rules_say_one_by_one(bounds, permission, path, context):
    """The definition, spelled out: some allow applies and no deny does."""
    applying = {
        rule.effect
        for each in bounds
        if each.policy.is_active and (each.expires_at is None or each.expires_at > context.now)
        for rule in each.policy.rules
        if rule.path_pattern.matches(path)
        and ({permission, Permission.ADMIN} & set(rule.permissions))
        and rule.conditions.failed(context) is None
    }
    assert allows(bounds, permission, path, context) == (applying == {Effect.ALLOW})


@given(bounds_, permissions, paths, contexts)
def test_territory_covers_what_evaluate_allows(bounds, permission, path, context):
    reach = territory(bounds, permission, context)
    assert reach.covers(path) == allows(bounds, permission, path, context)
    if reach.covers(path):
        assert any(path.startswith(prefix) for prefix in reach.prefixes)
    assert list(reach.prefixes) == sorted(reach.prefixes)


@given(bounds_, permissions, paths, contexts)
def test_the_outlook_covers_what_could_be_allowed_under_some_circumstances(bounds, permission, path, context):
    reach = outlook(bounds, permission, context.now)
    assert reach.covers(path) or not allows(bounds, permission, path, context)


def test_the_outlook_is_no_better_than_a_deny_that_always_holds():
    bounds = [bound(a_rule(conditions=OFFICE), a_rule("app/db", effect="deny"), a_rule("app/web", ["list"]))]
    assert outlook(bounds, Permission.READ, NOW).covers("app/main")
    assert not outlook(bounds, Permission.READ, NOW).covers("app/db")
    assert not outlook(bounds, Permission.READ, NOW).covers("web/db")
    barred = [bound(a_rule(), a_rule("app/db", effect="deny", conditions=ELSEWHERE))]
    assert outlook(barred, Permission.READ, NOW).covers("app/db")
    lost = [bound(a_rule(), expires_at=NOW), bound(a_rule(), is_active=False)]
    assert not outlook(lost, Permission.READ, NOW).covers("app/db")


def test_one_of_several_permissions_is_enough():
    listed = territory([bound(a_rule("app/*", ["list"]))], Permission.LIST, HERE)
    read = territory([bound(a_rule("app/*/x"), a_rule("web/*"))], Permission.READ, HERE)
    either = AnyOf((listed, read))
    assert [path for path in ("app/db", "app/db/x", "web/db", "db") if either.covers(path)] == [
        *("app/db", "app/db/x", "web/db"),
    ]
    assert either.prefixes == ("app/", "web/")
    assert not AnyOf(()).covers("app/db")


def test_default_is_deny():
    decision = evaluate([], Permission.READ, "app/db", HERE)
    assert (decision.is_allowed, decision.matched, decision.failed_condition) == (False, None, None)
    assert isinstance(decision.refusal(), AccessDenied)
    assert territory([], Permission.READ, HERE).prefixes == ()


@pytest.mark.parametrize("granted", [p for p in Permission if p is not Permission.ADMIN])
def test_a_permission_grants_itself_only(granted):
    assert [p for p in Permission if allows([bound(a_rule("**", [granted]))], p)] == [granted]


@pytest.mark.parametrize("asked", Permission)
def test_admin_stands_for_every_permission_in_allow_and_in_deny(asked):
    everything = bound(a_rule("**", ["admin"]))
    assert allows([everything], asked)
    assert not allows([everything, bound(a_rule("app/db", ["admin"], "deny"))], asked)


def test_a_deny_whose_conditions_do_not_hold_is_set_aside():
    allow, deny = a_rule(), a_rule(effect="deny", conditions=ELSEWHERE)
    assert allows([bound(deny, allow)])
    assert not allows([bound(deny, allow)], context=Context(NOW, ip_address("192.0.2.7")))
    assert evaluate([bound(deny)], Permission.READ, "app/db", HERE).decisive.verdict is Verdict.DENY_SET_ASIDE


@pytest.mark.parametrize(
    ("unmet", "error", "name"),
    [
        (ELSEWHERE, IpNotAllowed, "ip_ranges"),
        (MFA, MfaRequired, "require_mfa"),
        (NIGHT, TimeWindowViolation, "time_window"),
    ],
)
def test_an_allow_that_fails_by_its_condition_is_refused_by_its_name(unmet, error, name):
    decision = evaluate([bound(a_rule(conditions=unmet))], Permission.READ, "app/db", HERE)
    refusal = decision.refusal()
    assert type(refusal) is error
    assert refusal.details == {"failed_condition": name}
    assert decision.matched is None
    assert allows([bound(a_rule(conditions=unmet)), bound(a_rule())])


def test_a_condition_is_not_told_where_a_deny_decides():
    decision = evaluate([bound(a_rule(conditions=MFA)), bound(a_rule(effect="deny"))], Permission.READ, "app/db", HERE)
    assert type(decision.refusal()) is AccessDenied
    assert decision.failed_condition is None


def test_every_policy_says_why():
    explanation = explain(
        [
            bound(a_rule("web/**"), name="path"),
            bound(a_rule("web/**"), a_rule(permissions=["write"]), name="permission"),
            bound(a_rule(), name="expired", expires_at=NOW),
            bound(a_rule(), name="inactive", is_active=False),
            bound(a_rule(conditions=MFA), name="mfa"),
            bound(a_rule("web/**"), a_rule(), name="allowed"),
        ],
        Permission.READ,
        "app/db",
        HERE,
    )
    assert [(each.policy.name, each.verdict, each.rule_index) for each in explanation.findings] == [
        ("path", Verdict.OTHER_PATH, None),
        ("permission", Verdict.OTHER_PERMISSION, 1),
        ("expired", Verdict.BINDING_EXPIRED, None),
        ("inactive", Verdict.INACTIVE, None),
        ("mfa", Verdict.MFA_REQUIRED, 0),
        ("allowed", Verdict.ALLOWED, 1),
    ]
    assert explanation.decision.matched.policy.name == "allowed"


@pytest.mark.parametrize(
    ("ranges", "address", "holds"),
    [
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "::ffff:11.0.0.1", False),
        (["::/0"], "10.0.0.1", False),
        (["::/0"], "::ffff:10.0.0.1", False),
        (["0.0.0.0/0"], "::ffff:10.0.0.1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["2001:db8::/32", "10.0.0.0/8"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["203.0.113.7/32"], "203.0.113.7", True),
        (["10.0.0.0/8"], None, False),
    ],
)
def test_ip_ranges(ranges, address, holds):
    context = Context(NOW, address and ip_address(address))
    assert (Conditions.from_json({"ip_ranges": ranges}).failed(context) is None) is holds


@pytest.mark.parametrize(
    ("max_age", "verified", "holds"),
    [
        (None, None, False),
        (None, timedelta(minutes=-15), True),
        (None, timedelta(minutes=-15, seconds=-1), False),
        ("1h", timedelta(minutes=-59), True),
        ("30s", timedelta(seconds=-31), False),
        (None, timedelta(seconds=60), True),
        (None, timedelta(seconds=61), False),
    ],
)
def test_mfa_is_as_fresh_as_asked(max_age, verified, holds):
    asked = Conditions.from_json({"require_mfa": True, "mfa_max_age": max_age})
    context = Context(NOW, None, None if verified is None else NOW + verified)
    assert asked.failed(context) is (None if holds else Condition.REQUIRE_MFA)


def window(days="mon tue wed thu fri", start="09:00", end="17:00", timezone="UTC"):
    return Conditions.from_json(
        {"time_window": {"days": days.split(), "start": start, "end": end, "timezone": timezone}}
    )


def holds_at(conditions, text):
    return conditions.failed(Context(datetime.fromisoformat(text), None)) is None


@pytest.mark.parametrize(
    ("asked", "instant", "holds"),
    [
        # 2026-07-15 is a Wednesday.
        (window(), "2026-07-15T09:00:00Z", True),
        (window(), "2026-07-15T08:59:59.999999Z", False),
        (window(), "2026-07-15T16:59:59.999999Z", True),
        (window(), "2026-07-15T17:00:00Z", False),
        (window(), "2026-07-18T12:00:00Z", False),
        (window(), "2026-07-15T18:00:00+02:00", True),
        (window("sat", "00:00", "24:00"), "2026-07-18T23:59:59Z", True),
        (window("sat", "00:00", "24:00"), "2026-07-19T00:00:00Z", False),
        # Overnight: Friday's night ends on Saturday morning, and Friday's morning was Thursday's night.
        (window("fri", "22:00", "06:00"), "2026-07-17T22:00:00Z", True),
        (window("fri", "22:00", "06:00"), "2026-07-18T05:59:59Z", True),
        (window("fri", "22:00", "06:00"), "2026-07-18T06:00:00Z", False),
        (window("fri", "22:00", "06:00"), "2026-07-17T05:00:00Z", False),
        (window("fri", "22:00", "06:00"), "2026-07-18T22:00:00Z", False),
        (window("sun", "22:00", "06:00"), "2026-07-20T05:00:00Z", True),
        (window("wed", "09:00", "00:00"), "2026-07-15T23:59:00Z", True),
        (window("wed", "09:00", "00:00"), "2026-07-16T00:00:00Z", False),
        # The zone's own clocks, summer and winter.
        (window(timezone="Europe/Berlin"), "2026-07-15T07:00:00Z", True),
        (window(timezone="Europe/Berlin"), "2026-07-15T15:00:00Z", False),
        (window(timezone="Europe/Berlin"), "2026-01-14T07:00:00Z", False),
        (window(timezone="Europe/Berlin"), "2026-01-14T08:00:00Z", True),
        (window("mon", timezone="Pacific/Auckland"), "2026-07-12T21:00:00Z", True),
        # 2026-03-29: 02:00 to 03:00 do not exist in Berlin. 2026-10-25: they happen twice.
        (window("sun", "02:00", "03:00", "Europe/Berlin"), "2026-03-29T00:59:59Z", False),
        (window("sun", "02:00", "03:00", "Europe/Berlin"), "2026-03-29T01:00:00Z", False),
        (window("sun", "02:00", "03:00", "Europe/Berlin"), "2026-10-25T00:30:00Z", True),
        (window("sun", "02:00", "03:00", "Europe/Berlin"), "2026-10-25T01:30:00Z", True),
        (window("sun", "02:00", "03:00", "Europe/Berlin"), "2026-10-25T02:00:00Z", False),
        (window("sat", "22:00", "06:00", "Europe/Berlin"), "2026-03-29T03:59:59Z", True),
        (window("sat", "22:00", "06:00", "Europe/Berlin"), "2026-03-29T04:00:00Z", False),
    ],
)
def test_time_windows(asked, instant, holds):
    assert holds_at(asked, instant) is holds


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.data())  # noqa: DTZ001
def test_a_window_and_what_is_left_of_the_day_never_hold_at_once(instant, data):
    """Every day: from start to end, or from end to start, and one of the two always."""
    minutes = st.integers(0, 24 * 60 - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
    start, end = data.draw(st.lists(minutes, min_size=2, max_size=2, unique=True))
    zone = data.draw(st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]))
    days = "mon tue wed thu fri sat sun"
    context = Context(instant, None)
    one, other = window(days, start, end, zone), window(days, end, start, zone)
    assert (one.failed(context) is None) != (other.failed(context) is None)


def rule_json(**changes):
    return {"path_pattern": "app/**", "permissions": ["read"], **changes}


def window_json(**changes):
    fields = {"days": ["mon"], "start": "09:00", "end": "17:00", "timezone": "UTC", **changes}
    return rule_json(conditions={"time_window": fields})


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        (rule_json(permissions=[]), "at least one permission"),
        (rule_json(permissions=[], effect="deny"), "at least one permission"),
        (rule_json(permissions=["read", "read"]), "at most once"),
        (rule_json(permissions=["fly"]), "read, write, delete, list, rotate, admin"),
        (rule_json(effect="maybe"), "allow or deny"),
        (rule_json(conditions={"ip_ranges": []}), "1 to 100"),
        (rule_json(conditions={"ip_ranges": ["10.0.0.0/8"] * 101}), "1 to 100"),
        (rule_json(conditions={"ip_ranges": ["10.0.0.1/8"]}), "host bits"),
        (rule_json(conditions={"ip_ranges": ["10.0.0.0/33"]}), "not an IP range"),
        (rule_json(conditions={"ip_ranges": ["010.0.0.0/8"]}), "not an IP range"),
        (rule_json(conditions={"ip_ranges": ["10.0.0.1"]}), "prefix length"),
        (rule_json(conditions={"ip_ranges": ["10.0.0.0/255.0.0.0"]}), "prefix length"),
        (rule_json(conditions={"ip_ranges": ["fe80::%eth0/64"]}), "prefix length"),
        (rule_json(conditions={"ip_ranges": ["::ffff:10.0.0.0/104"]}), "IPv4 range"),
        (rule_json(conditions={"ip_ranges": ["everywhere"]}), "prefix length"),
        (rule_json(conditions={"mfa_max_age": "5m"}), "without require_mfa"),
        (rule_json(conditions={"require_mfa": False, "mfa_max_age": "5m"}), "without require_mfa"),
        (window_json(days=[]), "mon to sun"),
        (window_json(days=["mon", "mon"]), "mon to sun"),
        (window_json(days=["monday"]), "mon to sun"),
        (window_json(start="9:00"), "times of day"),
        (window_json(start="24:00"), "24:00"),
        (window_json(end="24:01"), "times of day"),
        (window_json(end="17:60"), "times of day"),
        (window_json(end="17:00:00"), "times of day"),
        (window_json(end="09:00"), "differ"),
        (window_json(timezone="Mars/Olympus"), "IANA"),
        (window_json(timezone="../../etc/passwd"), "IANA"),
        (window_json(timezone="/etc/localtime"), "IANA"),
        (window_json(timezone="localtime"), "IANA"),
        (window_json(timezone=""), "IANA"),
    ],
)
def test_rules_that_mean_nothing_are_refused(form, fault):
    with pytest.raises(InvalidPolicy, match=fault):
        parse_rules([form])


def test_patterns_and_durations_are_refused_in_their_own_words():
    with pytest.raises(InvalidGlob):
        parse_rules([rule_json(path_pattern="/app")])
    with pytest.raises(InvalidDuration):
        parse_rules([rule_json(conditions={"require_mfa": True, "mfa_max_age": "soon"})])


@pytest.mark.parametrize("count", [0, 101])
def test_a_policy_has_one_to_a_hundred_rules(count):
    with pytest.raises(InvalidPolicy, match="1 to 100 rules"):
        parse_rules([rule_json()] * count)
    assert len(parse_rules([rule_json()] * 100)) == 100


FULL = {
    "ip_ranges": ["10.0.0.0/8", "2001:db8::/32"],
    "require_mfa": True,
    "mfa_max_age": "90s",
    "time_window": {"days": ["sat", "mon"], "start": "22:30", "end": "24:00", "timezone": "Europe/Berlin"},
}


@given(rules(conditions=conditions | st.just(FULL)))
def test_rules_round_trip_by_their_json_form(rule):
    assert Rule.from_json(rule.as_json()) == rule
    assert Rule.from_json(rule.as_json()).as_json() == rule.as_json()


def test_the_json_form_is_complete_and_as_it_was_written():
    form = {"path_pattern": "a/*", "permissions": ["list", "read"], "effect": "deny", "conditions": FULL}
    assert Rule.from_json(form).as_json() == form
    assert Rule.from_json(rule_json()).as_json() == rule_json(effect="allow", conditions=None)
    assert Rule.from_json(rule_json(conditions={})).as_json()["conditions"] is None


@pytest.mark.parametrize(("text", "shown"), [("900s", "15m"), ("60m", "1h"), ("48h", "2d"), ("61s", "61s")])
def test_durations_are_shown_in_their_largest_whole_unit(text, shown):
    form = rule_json(conditions={"require_mfa": True, "mfa_max_age": text})
    assert Rule.from_json(form).as_json()["conditions"]["mfa_max_age"] == shown


def test_subjects_are_an_identity_by_type_and_id_and_its_groups():
    assert subjects(IdentityType.USER, "user:ada", frozenset({"group:sre"})) == {
        Subject(IdentityType.USER, "user:ada"),
        Subject(IdentityType.GROUP, "group:sre"),
    }


@pytest.mark.parametrize(
    ("told", "identity_id", "expected"),
    [
        (None, "user:ada@example.com", IdentityType.USER),
        (None, "sa:ci", IdentityType.SERVICE_ACCOUNT),
        (None, "group:sre", IdentityType.GROUP),
        (IdentityType.SERVICE_ACCOUNT, "dynamic:support-db", IdentityType.SERVICE_ACCOUNT),
        (IdentityType.USER, "user:ada", IdentityType.USER),
    ],
)
def test_a_subject_is_told_by_its_id(told, identity_id, expected):
    assert parse_subject(told, identity_id) == Subject(expected, identity_id)


@pytest.mark.parametrize(
    ("told", "identity_id"),
    [
        (None, "ada"),
        (IdentityType.USER, "group:sre"),
        (IdentityType.GROUP, "user:ada"),
        *itertools.product([IdentityType.USER], ["", "user:a b", "user:ada\n", "user:\x00", "user:é", "u" * 257]),
    ],
)
def test_a_subject_that_can_not_be_is_refused(told, identity_id):
    with pytest.raises(InvalidPolicy):
        parse_subject(told, identity_id)


@pytest.mark.parametrize("expires_at", [NOW, NOW - timedelta(days=1), datetime.max.replace(tzinfo=UTC)])
def test_a_binding_expires_in_the_foreseeable_future(expires_at):
    with pytest.raises(InvalidPolicy):
        check_expiry(expires_at, NOW)
    check_expiry(NOW + timedelta(seconds=1), NOW)
    check_expiry(None, NOW)
