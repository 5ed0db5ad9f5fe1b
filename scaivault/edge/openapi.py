"""OpenAPI 3.1, made from the very tables and types that serve."""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from scaivault.edge.problems import status_of
from scaivault.edge.routes import Route, Routes, Sent
from scaivault.kernel import errors
from scaivault.kernel.errors import VaultError
from scaivault.kernel.paths import MAX_PATH_CHARACTERS, MAX_PATH_SEGMENTS, SEGMENT

_VARIABLE = re.compile(r"<(?:([a-z]+):)?([a-z_]+)>")
_DESCRIPTION = """\
A multi-tenant vault. Errors carry `error.code`; branch on that.

Every operation that takes a token acts in the token's own tenant. A partner administrator names another tenant of the
partner before the address, `/v1/t/{tenant_id}/secrets/…`, or in the header `X-Tenant-ID`; the address wins. For anybody
else, and for tenants of other partners, that is `403 tenant_access_denied`, whether there is such a tenant or not.

Requests are limited a minute and identity, by category, in token buckets: `X-RateLimit-…` tell how the bucket stands,
and `429 rate_limited` with `Retry-After` that it is empty. Refused requests cost as much as others. Who has no valid
token is limited by address.

What is too long to be read is refused before it is known for what: an address with `414`, headers with `431`.

A duration is a whole number of `s`, `m`, `h` or `d`, and answered in the largest of them that leaves none over: what is
sent as `48h` is answered as `2d`.
"""
_REF = "#/components/schemas/{model}"
_NULL = {"type": "null"}
_VARIABLE_SCHEMAS = {
    "": {"type": "string", "minLength": 1},
    "secret": {
        "type": "string",
        "maxLength": MAX_PATH_CHARACTERS,
        "pattern": f"^{SEGMENT}(/{SEGMENT}){{0,{MAX_PATH_SEGMENTS - 1}}}$",
        "examples": ["app/db"],
        "description": "A secret's path, its slashes as they are: percent-encoded characters are refused.",
    },
}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
                "request_id": {"type": "string"},
            },
        }
    },
}
_HEADERS: Mapping[str, Mapping[str, object]] = {
    "X-Request-ID": {"description": "The client's own if it was well formed, else a new one.", "required": True},
    "WWW-Authenticate": {"description": "The challenge of RFC 9110.", "required": True},
    "Retry-After": {"description": "Seconds.", "required": True},
    "X-RateLimit-Limit": {"description": "Requests a minute, and at once."},
    "X-RateLimit-Remaining": {"description": "What is left of them."},
    "X-RateLimit-Reset": {"description": "When all of them are back, in Unix seconds."},
}
_HEADERS_OF = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_LIMIT_HEADERS = tuple(name for name in _HEADERS if name.startswith("X-RateLimit-"))
_SAID_OTHERWISE = frozenset({"accept", "authorization", "content-type"})
Schemas = Mapping[Any, Any]  # (message type, mode) to its schema; pydantic's key type is wider than ours


def document(tables: Iterable[Routes], version: str) -> bytes:
    """The whole API as JSON."""
    tables = list(tables)
    routes = [(table, route) for table in tables for route in table.table]
    schemas, definitions = models_json_schema(_models(route for _, route in routes), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for table, route in routes:
        operation = _operation(table, route, schemas)
        paths.setdefault(_VARIABLE.sub(r"{\2}", route.rule), {})[route.method.lower()] = operation
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "ScaiVault",
                "version": version,
                "description": _DESCRIPTION,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"bearer": []}],
            "tags": [{"name": name} for name in sorted({table.name for table, _ in routes})],
            "paths": paths,
            "webhooks": {sent.name: {"post": _sending(table, sent)} for table in tables for sent in table.sends},
            "components": {
                "schemas": {
                    **definitions.get("$defs", {}),
                    **{_schema_name(sent): sent.body for table in tables for sent in table.sends},
                    "Error": _ERROR_SCHEMA,
                },
                "headers": {name: {**header, "schema": {"type": "string"}} for name, header in _HEADERS.items()},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    ).encode()


def _sending(table: Routes, sent: Sent) -> dict[str, Any]:
    """What a receiver is to serve. Headers that OpenAPI has other words for are no parameters."""
    return {
        "operationId": f"receive_{re.sub(r'[^a-z]+', '_', sent.name)}",
        "summary": sent.summary,
        "tags": [table.name],
        "security": [],
        "parameters": [
            {**_parameter("header", name, {"type": "string"}, is_required=is_always_sent), "description": says}
            for name, (says, is_always_sent) in sent.headers.items()
            if name.lower() not in _SAID_OTHERWISE
        ],
        "requestBody": {"required": True, "content": _json({"$ref": _REF.format(model=_schema_name(sent))})},
        "responses": {
            "2XX": {"description": "It is taken. What the answer says is not looked at."},
            "default": {"description": "It is not, and will be sent again; redirects are not followed."},
        },
    }


def _schema_name(sent: Sent) -> str:
    return "".join(word.capitalize() for word in re.split(r"[^a-z]+", sent.name)) + "Event"


def _models(routes: Iterable[Route]) -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        if route.body is not None:
            wanted[(route.body, "validation")] = None
        if route.reply is not None:
            wanted[(route.reply, "serialization")] = None
    return list(wanted)


def _operation(table: Routes, route: Route, schemas: Schemas) -> dict[str, Any]:
    place = _VARIABLE.sub(r"\2", route.rule.removeprefix("/v1"))
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[^a-z]+", "_", f"{route.method} {place}".lower()),
        "summary": route.summary,
        "tags": [table.name],
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.scope is not None:
        operation["description"] = f"Needs the scope `{route.scope.value}`."
    if route.is_open:
        operation["security"] = []
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_is_optional,
            "content": _json(schemas[(route.body, "validation")]),
        }
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters = [
        _parameter("path", name, _VARIABLE_SCHEMAS[converter], is_required=True)
        for converter, name in _VARIABLE.findall(route.rule)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema(ref_template=_REF)
        parameters += [
            _parameter("query", name, _spoken(_inlined(of, schema)), is_required=name in schema.get("required", ()))
            for name, of in schema["properties"].items()
        ]
    if route.signature is not None:
        parameters.append(_parameter("header", route.signature.header, {"type": "string"}, is_required=True))
    if route.takes_if_match:
        parameters.append(_parameter("header", "If-Match", {"type": "string", "pattern": '^"[0-9]{1,9}"$'}))
    return parameters


def _parameter(place: str, name: str, schema: object, *, is_required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_required, "schema": schema}


def _inlined(schema: Any, root: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JSON schema is any JSON
    """`schema` with references to the root's own definitions replaced by them."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
        return {key: _inlined(value, root) for key, value in schema.items()}
    return [_inlined(item, root) for item in schema] if isinstance(schema, list) else schema


def _spoken(schema: dict[str, Any]) -> dict[str, Any]:
    """What a query string can say: a parameter that may be null is one that may be left out."""
    said = {key: value for key, value in schema.items() if value is not None}
    alternatives = [each for each in said.pop("anyOf", ()) if each != _NULL]
    if len(alternatives) == 1:
        return {**said, **alternatives[0]}
    return {**said, "anyOf": alternatives} if alternatives else said


def _responses(route: Route, schemas: Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in {route.status, *route.other_statuses}:
        responses[str(status)] = {"description": route.summary, "headers": _headers(route, status)}
        if status == HTTPStatus.NO_CONTENT:
            continue
        if route.reply is not None:
            responses[str(status)]["content"] = _json(schemas[(route.reply, "serialization")])
        else:
            responses[str(status)]["content"] = {kind: {"schema": {"type": "string"}} for kind in route.text_types}
    for status, codes in _failures(route).items():
        failure = {
            "description": ", ".join(sorted(codes)),
            "headers": _headers(route, status),
            "content": _json({"$ref": "#/components/schemas/Error"}),
        }
        responses.setdefault(str(status), failure)
    return dict(sorted(responses.items()))


def _headers(route: Route, status: int) -> dict[str, Any]:
    """Limits are told wherever something was counted: a call that has a limit, or that failed to prove who it is."""
    is_counted = route.limit is not None or status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
    names = ("X-Request-ID", *_HEADERS_OF.get(status, ()), *(_LIMIT_HEADERS if is_counted else ()))
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _failures(route: Route) -> dict[int, set[str]]:
    failures: dict[int, set[str]] = {}
    for kind in _kinds(route):
        if (status := status_of(kind)) is not None:
            failures.setdefault(status, set()).add(kind.code)
    return failures


def _kinds(route: Route) -> list[type[VaultError]]:
    kinds: list[type[VaultError]] = [errors.InvalidRequest, errors.Unavailable, *route.errors]
    if route.body is not None:
        kinds += [errors.BodyTooLarge, errors.ValidationFailed]
    if route.query is not None:
        kinds += [errors.ValidationFailed]
    if route.signature is not None:
        kinds += [errors.Unauthenticated]
    if route.proves_itself:
        kinds += [errors.TokenInvalid]
    if not route.is_open:
        kinds += [errors.Unauthenticated, errors.TokenInvalid, errors.TokenExpired, errors.TokenRevoked]
        kinds += [errors.AccessDenied, errors.InsufficientScope, errors.TenantAccessDenied]
    if route.limit is not None or not route.is_open:
        kinds += [errors.RateLimited]
    if "" in {converter for converter, _ in _VARIABLE.findall(route.rule)}:
        kinds += [errors.NotFound]
    return kinds


def _json(schema: object) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
