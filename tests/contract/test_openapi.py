"""The OpenAPI document: well formed, complete, and true, which schemathesis finds out by asking."""

import json
import re
from urllib.parse import unquote

import hypothesis
import jsonschema_rs
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import NegativeDataRejectionConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.operations import (
    ASKABLE,
    OPEN,
    OPERATIONS,
    ROTATION_POLICY,
    SUBSCRIPTION,
    TRUST,
    UNSERVED,
    WEBHOOK,
    by_name,
)

# The house's threads (a connection pool jitters its deadlines) draw random numbers while hypothesis looks away.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

EXAMPLES = 20
GENERATION = GenerationConfig(deterministic=True, database="none", with_security_parameters=False)
METHODS = {"get", "put", "post", "patch", "delete"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


# What a schema of ours may say: JSON Schema 2020-12, as far as it is needed.
WORDS = {
    "$ref", "additionalProperties", "allOf", "anyOf", "const", "default", "deprecated", "description", "discriminator",
    "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maximum",
    "maxProperties", "minItems", "minLength", "minimum", "minProperties", "oneOf", "pattern", "prefixItems",
    "properties", "propertyNames", "required", "title", "type", "uniqueItems", "writeOnly",
}  # fmt: skip


def words(schema):
    """Every keyword in a schema and those within."""
    if isinstance(schema, list):
        return {word for each in schema for word in words(each)}
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for keyword, value in schema.items():
        inner = value.values() if keyword == "properties" else [value]
        if keyword not in {"default", "examples", "const", "enum", "discriminator"}:
            found |= {word for each in inner for word in words(each)}
    return found


def parts(value):
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(each)


def template(rule):
    return re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule)


@pytest.fixture(scope="module")
def document(standing):
    return standing.house.client.get("/v1/openapi.json").json


@pytest.fixture(scope="module")
def operations(document):
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


class TestForm:
    def test_it_is_openapi_3_1(self, document):
        assert document["openapi"].startswith("3.1.")
        assert set(document) <= {"openapi", "info", "servers", "security", "tags", "paths", "webhooks", "components"}
        assert set(document["info"]) == {"title", "version", "description", "license"}

    def test_every_route_is_in_it_and_nothing_else(self, operations):
        routes = {(each.method.lower(), template(each.rule)) for each in OPERATIONS}
        assert set(operations) == routes

    def test_every_reference_leads_somewhere(self, document):
        for reference in references(document):
            place = document
            for step in reference.removeprefix("#/").split("/"):
                place = place[step.replace("~1", "/").replace("~0", "~")]
            assert place

    def test_every_component_is_in_use(self, document):
        used = {tuple(reference.split("/")[2:]) for reference in references(document)}
        there = {(kind, name) for kind in ("schemas", "headers") for name in document["components"][kind]}
        assert there == used

    def test_no_name_tells_of_our_modules(self, document):
        assert "scaivault__" not in json.dumps(document)

    def test_every_schema_is_a_json_schema_2020_12(self, document):
        schemas = [*document["components"]["schemas"].values(), *parameter_schemas(document)]
        for schema in schemas:
            # `$ref`s into the document do not resolve from here, their form is what is looked at.
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})

    def test_every_default_with_a_pattern_is_of_it(self, document):
        odd = [
            schema
            for schema in parts(document)
            if "pattern" in schema and "default" in schema and not re.fullmatch(schema["pattern"], schema["default"])
        ]
        assert odd == []

    def test_every_operation_says_who_may_call_it(self, operations):
        for each in OPERATIONS:
            operation = operations[each.method.lower(), template(each.rule)]
            assert (operation.get("security") == []) is each.is_open
            assert ("401" in operation["responses"]) is (each.needs != OPEN)
            assert (f"`{each.scope}`" in operation.get("description", "")) is (each.scope is not None)

    def test_operation_ids_are_unique_words(self, operations):
        ids = [operation["operationId"] for operation in operations.values()]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", each) for each in ids)

    def test_every_variable_of_an_address_is_described(self, operations):
        for (_, path), operation in operations.items():
            described = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", path))

    def test_every_answer_is_described_with_its_body_and_headers(self, operations):
        for operation in operations.values():
            for status, response in operation["responses"].items():
                assert response["description"]
                assert "X-Request-ID" in response["headers"]
                assert bool(response.get("content")) is (status != "204")


def references(part):
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def parameter_schemas(document):
    for item in document["paths"].values():
        for operation in item.values():
            yield from (parameter["schema"] for parameter in operation["parameters"])


@pytest.fixture(scope="module")
def asked(standing):
    """The API as schemathesis knows it."""
    refusing = ChecksConfig(negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=["4xx"]))
    project = ProjectConfig(generation=GENERATION, checks=refusing)
    config = SchemathesisConfig(projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_wsgi("/v1/openapi.json", standing.house.client.application, config=config)


@pytest.fixture(scope="module")
def ask(standing):
    """Asks as the administrator, and holds the answer against the document."""
    administrator = {"Authorization": f"Bearer {standing.pat.token}"}

    def ask(case, *checks):
        response = case.call(headers=administrator)
        case.validate_response(response, checks=[*CHECKS, *checks])
        return response

    return ask


@pytest.fixture
def existing(ada, pat, room):
    """Variables of addresses at which there is something."""
    maker = ada.post("/v1/secret-policies", {"name": f"{room} in use", "policy_type": "password"}).json["id"]
    rotation = ada.post("/v1/rotation/policies", {**ROTATION_POLICY, "name": f"{room} there"}).json["id"]
    options = {"rotation_policy_id": rotation, "secret_policy_id": maker}
    ada.write(f"{room}/db", metadata={"owner": "team:db", "tags": ["a"]}, options=options)
    pat.put(f"/v1/partner/secrets/{room}/db", {"data": {}, "metadata": {"owner": "team:db", "tags": ["a"]}})
    policy = ada.post(
        "/v1/policies", {"name": f"{room} there", "rules": [{"path_pattern": "x/*", "permissions": ["read"]}]}
    )
    bound = {"identity_type": "user", "identity_id": f"user:{room}"}
    binding = ada.post(f"/v1/policies/{policy.json['id']}/bindings", bound)
    token = ada.post("/v1/auth/tokens", {"name": room, "scopes": ["secrets:list"]})
    secret_policy = ada.post("/v1/secret-policies", {"name": f"{room} there", "policy_type": "ssh_key"})
    trust = ada.post("/v1/auth/trusts", {**TRUST, "name": f"{room} there"})
    webhook = ada.post("/v1/webhooks", {**WEBHOOK, "url": "http://127.0.0.1:9/hook"}).json["id"]
    tried = ada.post(f"/v1/webhooks/{webhook}/test").json["delivery_id"]
    subscription = pat.post("/v1/subscriptions", {**SUBSCRIPTION, "name": f"{room} there"}).json["id"]
    yield {
        "subscription_id": subscription,
        "webhook_id": webhook,
        "delivery_id": tried,
        "path": f"{room}/db",
        "policy_id": policy.json["id"],
        "binding_id": binding.json["id"],
        "token_id": token.json["id"],
        "rotation_policy_id": rotation,
        "trust_id": trust.json["id"],
        "secret_policy_id": secret_policy.json["id"],
        "identity_id": "user:ada@a.example",
        "identity_type": "user",
        "tenant_id": "tnt_a",
        "group_id": "grp_there",
        "user_id": "usr_there",
    }
    ada.delete(f"/v1/auth/trusts/{trust.json['id']}")  # there can be a hundred
    ada.delete(f"/v1/auth/tokens/{token.json['id']}")  # there can be so many of one identity
    ada.delete(f"/v1/secrets/{room}/db", query_string={"permanent": "true"})
    ada.delete(f"/v1/rotation/policies/{rotation}")
    ada.delete(f"/v1/secret-policies/{maker}")
    ada.delete(f"/v1/secret-policies/{secret_policy.json['id']}")  # and two hundred of these
    ada.delete(f"/v1/webhooks/{webhook}")
    for each in pat.get("/v1/subscriptions?limit=1000").json["subscriptions"]:  # one may have fifty
        pat.delete(f"/v1/subscriptions/{each['id']}")


def prepare(pat, database_url, operation, existing):
    """What is there is brought into the state in which it can be asked for this."""
    if operation.rule.endswith(":recover"):
        pat.delete(operation.address(path=existing["path"]).removesuffix(":recover"))
    if operation.rule.startswith("/v1/subscriptions/<subscription_id>/deliveries"):  # what is polled has none
        existing |= delivered(pat, database_url, existing["delivery_id"])
    if operation.name == "DELETE /v1/policies/<policy_id>":  # which is refused, unless forced, while it is bound
        pat.delete("/v1/policies/{policy_id}/bindings/{binding_id}".format(**existing))


def delivered(pat, database_url, delivery_id):
    """A subscription that is delivered, with what another webhook was sent in its log."""
    means = {"type": "webhook", "url": "http://127.0.0.1:9/hook", "secret": WEBHOOK["secret"]}
    mine = pat.post("/v1/subscriptions", {**SUBSCRIPTION, "delivery": means}).json["id"]
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """
            INSERT INTO webhook_deliveries (tenant_id, webhook_id, id, event_id, sequence, status, created_at)
            SELECT tenant_id, %(mine)s, id, event_id, sequence, 'failed', created_at
              FROM webhook_deliveries
             WHERE id = %(delivery_id)s
            """,
            {"mine": mine, "delivery_id": delivery_id},
        )
    return {"subscription_id": mine}


@pytest.mark.parametrize("operation", [each for each in ASKABLE if each.name not in UNSERVED], ids=by_name)
def test_what_it_allows_is_answered_as_it_says(standing, asked, ask, pat, existing, room, operation):
    """About what is there and what is not; something that is asked of what is there succeeds."""
    described = asked[template(operation.rule)][operation.method]
    answered = set()
    prepare(pat, standing.database_url, operation, existing)

    @hypothesis.seed(2)
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @given(case=described.as_strategy(GenerationMode.POSITIVE), is_there=st.booleans())
    def try_out(case, is_there):
        for name in case.path_parameters:
            if is_there:
                case.path_parameters[name] = existing[name]
            elif name == "path":  # the one whose slashes stay slashes
                case.path_parameters[name] = unquote(case.path_parameters[name])
        if is_there and operation.body is not None:
            case.body = operation.body_for(**existing) | ({"name": room} if "name" in operation.body else {})
            case.headers.pop("If-Match", None)
        case.query.pop("cursor", None)  # nobody can make one up
        answered.add(ask(case).status_code)

    try_out()
    assert answered & {200, 201, 202, 204}


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_what_it_forbids_is_refused_as_it_says(asked, ask, operation):
    """Every limit of every field, from both sides."""
    described = asked[template(operation.rule)][operation.method]
    cases = asked.iter_coverage_cases(described, generation_modes=list(GenerationMode), generation_config=GENERATION)
    for case in cases:
        if case.method == operation.method:  # other methods are `test_url_map`'s
            ask(case, negative_data_rejection)


def test_schemas_speak_json_schema_and_no_dialect(document, operations):
    parameters = [each["schema"] for of in operations.values() for each in of.get("parameters", ())]
    assert words([*document["components"]["schemas"].values(), *parameters]) <= WORDS
