"""The whole URL map, and that every address keeps out who must stay out."""

import re

import pytest

from scaivault.bootstrap.api import build
from scaivault.kernel.caller import Role, Scope
from tests.contract.operations import (
    ANY,
    ASKABLE,
    CLOSED,
    IN_TENANT,
    ONE_POLICY,
    ONE_SECRET_POLICY,
    OPEN,
    OPERATIONS,
    PROVEN,
    SCOPED,
    SECRET,
    SIGNED,
    by_name,
)

KNOCKED = {"OPTIONS", "TRACE", "CONNECT", "POST", "PUT", "PATCH", "DELETE", "GET"}
# Addresses that another rule answers to as well, with other methods: a secret may be called "batch".
SHARED_SECRET = SECRET.replace("/v1/", "/v1/partner/")
ALSO = {
    "/v1/secrets/batch": SECRET,
    "/v1/secrets/batch/metadata": SECRET,
    "/v1/partner/secrets/batch": SHARED_SECRET,
    "/v1/partner/secrets/batch/metadata": SHARED_SECRET,
    "/v1/policies/test": ONE_POLICY,
    "/v1/secret-policies/preview": ONE_SECRET_POLICY,
}


def error(answer):
    return answer.json["error"]["code"]


def test_the_tables_are_this_map(house):
    """As the tables declare it: the OpenAPI document and the metrics are made of these."""
    declared = [
        (
            route.method,
            route.rule,
            SIGNED
            if route.signature
            else PROVEN
            if route.proves_itself
            else OPEN
            if route.is_open
            else (route.scope or ANY),
            route.category or table.category,
            str(route.limit),
            route.body is not None,
        )
        for table in house.services.tables
        for route in table.table
    ]
    literal = [
        (each.method, each.rule, each.needs, each.category, str(each.limit), each.body is not None)
        for each in OPERATIONS
    ]
    assert sorted(declared) == sorted(literal)


def test_flask_serves_this_map_and_nothing_else(house):
    """As requests meet it. HEAD comes with every GET; OPTIONS with nothing."""
    served = sorted(
        (method, rule.rule)
        for rule in house.client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    )
    expected = [(each.method, each.rule) for each in OPERATIONS]
    expected += [(each.method, each.rule.replace("/v1", IN_TENANT)) for each in CLOSED]
    assert served == sorted(expected)
    heads = {rule.rule for rule in house.client.application.url_map.iter_rules() if "HEAD" in rule.methods}
    assert heads == {rule for method, rule in expected if method == "GET"}


def test_metrics_are_open_only_where_the_settings_say_so(house):
    """METRICS_AUTH: none for whoever scrapes the API's own port without a token."""
    services = build(house.settings.model_copy(update={"metrics_auth": "none"}))
    try:
        [route] = [each for table in services.tables for each in table.table if each.rule == "/v1/metrics"]
        assert (route.is_open, route.scope) == (True, None)
    finally:
        services.system.close()


@pytest.mark.parametrize("operation", CLOSED, ids=by_name)
def test_without_a_token_there_is_nothing_but_a_challenge(house, operation):
    answer = house.voice().call(operation.method, operation.address(), operation.body)
    assert (answer.status_code, error(answer)) == (401, "authentication_required")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.fixture(scope="module")
def lacking(standing):
    """Callers who may do everything by policy and by role, with tokens that lack one scope each."""

    def all_but(scope):
        everything_else = frozenset(Scope) - {scope}
        return standing.house.someone("user:ada@a.example", scopes=everything_else, roles=[Role.TENANT_ADMIN])

    return {scope: all_but(scope) for scope in sorted({operation.scope for operation in SCOPED})}


@pytest.mark.parametrize("operation", SCOPED, ids=by_name)
def test_a_token_without_the_scope_is_refused_whatever_else_it_holds(lacking, house, operation):
    answer = lacking[operation.scope].call(operation.method, operation.address(), operation.body)
    assert (answer.status_code, error(answer)) == (403, "insufficient_scope")
    assert answer.json["error"]["details"] == {"required_scope": operation.scope}


@pytest.mark.parametrize("operation", ASKABLE, ids=by_name)
def test_the_calls_of_this_table_are_good_ones(pat, operation):
    """With the right token none of them is refused for its form or its sender: the refusals above mean the scope."""
    answer = pat.call(operation.method, operation.address(), operation.body_for(path="map/secret"))
    refusals = {400, 401, 403, 405, 413, 422, 500, 503}
    assert answer.status_code not in refusals, answer.text


NAMED = re.compile(r"<[a-z_]+>")


@pytest.mark.parametrize("operation", [each for each in ASKABLE if NAMED.search(each.rule)], ids=by_name)
def test_what_no_name_can_be_is_not_found(pat, operation):
    """A NUL, which the database would choke on."""
    answer = pat.call(operation.method, NAMED.sub("a%00b", operation.rule), operation.body)
    assert (answer.status_code, error(answer)) == (404, "not_found")


@pytest.mark.parametrize("rule", sorted({each.rule for each in OPERATIONS}))
def test_other_methods_are_refused_by_name_of_those_there_are(ada, rule):
    here = [each for each in OPERATIONS if each.rule in (rule, ALSO.get(rule))]
    allowed = {each.method for each in here} | ({"HEAD"} if any(each.method == "GET" for each in here) else set())
    for method in KNOCKED - allowed:
        answer = ada.call(method, next(each for each in here if each.rule == rule).address())
        assert (answer.status_code, error(answer)) == (405, "method_not_allowed"), method
        assert set(answer.headers["Allow"].split(", ")) == allowed
