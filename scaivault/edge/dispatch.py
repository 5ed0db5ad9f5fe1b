"""From Flask's request to a route's view and back: limits, then who is asking, then types, then the view."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from scaivault.edge.bodies import check_size, parse_object, validate
from scaivault.edge.exchange import current
from scaivault.edge.limits import Limits
from scaivault.edge.messages import Reply
from scaivault.edge.routes import Also, Answer, Route, Routes
from scaivault.kernel.caller import Caller
from scaivault.kernel.errors import InvalidPath, InvalidRequest, NotFound, ValidationFailed, VaultError
from scaivault.kernel.paths import SecretPath, parse_path
from scaivault.kernel.ports import Reentry

Environ = Mapping[str, Any]  # WSGI's: each of Flask's proxies costs as much as ten look-ups in it

_ETAG = re.compile(r'"([0-9]{1,9})"', re.ASCII)
_AUTHORITY = re.compile(r"[a-z]+://[^/]*", re.IGNORECASE | re.ASCII)


class SecretPathConverter(BaseConverter):
    """Everything up to a colon, valid or not: the view decides, so that a bad path is `invalid_path` and no 404."""

    regex = "[^:]*"
    part_isolating = False
    weight = 150


class IdConverter(BaseConverter):
    """One segment that could name something: PostgreSQL knows no text with a NUL."""

    regex = r"[^/\x00]+"


VERSION = "/v1"
# Before any address that takes a token: the tenant to act in, for those who may (contract 3). Not the name of any
# variable of a route's own.
IN_TENANT = f"{VERSION}/t/<acting_tenant>"
_SECRETS = re.compile(r"/v1(?:/t/[^/]+)?(?:/partner)?/secrets/")


def no_such_address(path: str) -> VaultError:
    """What to say of an address that no route has: below the secrets it is a path that can not be one."""
    if _SECRETS.match(path):
        return InvalidPath("A path has no colon, but for the custom methods that the API document lists.")
    return NotFound("There is no such address in this API.")


class OnRefusal(Protocol):
    def __call__(self, caller: Caller, route: str, path: SecretPath | None, refusal: VaultError) -> None:
        """Journal that a known caller asked for something malformed, about the secret at `path` if it said one."""


def blueprint(routes: Routes, limits: Limits, on_refusal: OnRefusal) -> Blueprint:
    """The table as a Flask blueprint."""
    made = Blueprint(routes.name, __name__)
    for route in routes.table:
        view = _view(route, limits, on_refusal)
        for rule in rules_of(route):
            made.add_url_rule(
                rule,
                endpoint=_endpoint(route, rule),
                view_func=view,
                methods=[route.method],
                provide_automatic_options=False,
            )
    return made


def rules_of(route: Route) -> Sequence[str]:
    """Where the route answers: at its own address and, if it knows its callers, in a tenant that is named before it."""
    if route.is_open:
        return (route.rule,)
    return (route.rule, IN_TENANT + route.rule.removeprefix(VERSION))


def _endpoint(route: Route, rule: str) -> str:
    """A name for the route at one of its rules that no other has; a blueprint's endpoints take no dots."""
    return f"{route.method} {rule}".replace(".", "_")


def categories(tables: Iterable[Routes]) -> dict[str, str]:
    """The path category of each Flask endpoint: the closed list that metrics and logs are labelled with."""
    return {
        f"{routes.name}.{_endpoint(route, rule)}": route.category or routes.category
        for routes in tables
        for route in routes.table
        for rule in rules_of(route)
    }


def _view(route: Route, limits: Limits, on_refusal: OnRefusal) -> Callable[..., Response]:
    if not route.is_open:
        return _for_callers(route, limits, on_refusal)
    return _for_the_proven(route, limits) if route.proves_itself else _open_to_all(route, limits)


def _open_to_all(route: Route, limits: Limits) -> Callable[..., Response]:
    def view(**variables: object) -> Response:
        environ = request.environ
        if route.limit is not None:
            limits.of_address(current(), route.limit)
        return _render(route, route.view(**variables, **_inputs(route, environ, _body(_read(route, environ)))))

    return view


def _for_the_proven(route: Route, limits: Limits) -> Callable[..., Response]:
    def view(**variables: object) -> Response:
        environ, exchange = request.environ, current()
        if route.limit is not None:
            limits.of_address(exchange, route.limit)
        raw = _read(route, environ)
        if route.signature is not None:
            route.signature.check(environ.get(route.signature.environ_name), raw or b"")
        return _render(route, route.view(origin=exchange.origin, **variables, **_inputs(route, environ, _body(raw))))

    return view


def _for_callers(route: Route, limits: Limits, on_refusal: OnRefusal) -> Callable[..., Response]:
    takes_path = "<secret:" in route.rule

    def view(*, acting_tenant: str | None = None, **variables: object) -> Response:
        environ, exchange = request.environ, current()
        body = _body(_read(route, environ))
        caller = exchange.caller = limits.identify(exchange, environ.get("HTTP_AUTHORIZATION"))
        if route.limit is not None:
            limits.of_caller(exchange, route.limit, caller)
        tenant_id = environ.get("HTTP_X_TENANT_ID") if acting_tenant is None else acting_tenant
        if tenant_id is not None:
            caller = exchange.caller = limits.enter(caller, tenant_id)
        try:
            if takes_path:
                _refuse_other_spellings(environ)
            inputs = _inputs(route, environ, body)
            if route.waits:
                inputs["again"] = _reentry(limits, tenant_id)
            if route.also is None:
                return _render(route, route.view(caller=caller, **variables, **inputs))
            return _render(route, _paid(route, route.also, limits, caller, variables | inputs))
        except (InvalidRequest, ValidationFailed) as refusal:
            # A spelling that was refused is not the path that Flask has made of it.
            path = None if isinstance(refusal, InvalidPath) else _path_among(variables)
            on_refusal(caller, route.rule, path, refusal)
            raise

    return view


def _reentry(limits: Limits, tenant_id: str | None) -> Reentry:
    """For this request to be told who is asking once more. It is the same request, and costs no further unit."""
    environ, exchange = request.environ, current()

    def again(waited_seconds: float) -> Caller:
        exchange.waited_seconds += waited_seconds
        caller = limits.identify(exchange, environ.get("HTTP_AUTHORIZATION"))
        exchange.caller = caller if tenant_id is None else limits.enter(caller, tenant_id)
        return exchange.caller

    return again


def _paid(route: Route, also: Also, limits: Limits, caller: Caller, arguments: Mapping[str, object]) -> Reply | Answer:
    """The view's reply, for all that it may cost beforehand, and for what it was worth in the end."""
    asked = also.asked(arguments["body"])
    limits.many(current(), also.category, caller, asked)
    reply = route.view(caller=caller, **arguments)
    limits.give_back(also.category, caller, asked - also.given(reply))
    return reply


def _path_among(variables: Mapping[str, object]) -> SecretPath | None:
    try:
        return parse_path(str(variables.get("path", "")))
    except InvalidPath:
        return None


def _body(raw: bytes | None) -> dict[str, object] | None:
    return None if raw is None else parse_object(raw)


def _read(route: Route, environ: Environ) -> bytes | None:
    """The body, within bounds. A body that nobody asked for is refused, and not read."""
    if "HTTP_TRANSFER_ENCODING" not in environ and environ.get("CONTENT_LENGTH", "0") in {"", "0"}:
        if route.body is not None and not route.body_is_optional:
            raise InvalidRequest("This endpoint needs a JSON body.")
        return None
    if route.body is None:
        raise InvalidRequest("This endpoint takes no body.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise InvalidRequest("The body must come without Content-Encoding.")
    length = request.content_length
    check_size(length, route.max_body_bytes)
    try:
        raw = request.stream.read(route.max_body_bytes + 1)
    except Exception as broken:  # whatever the server's reader dies of: chunks that are none, a client that is gone
        raise InvalidRequest("The body can not be read to its end.") from broken
    check_size(len(raw), route.max_body_bytes)
    if length is not None and len(raw) < length:
        raise InvalidRequest("The body is shorter than its Content-Length.")
    return raw


def _refuse_other_spellings(environ: Environ) -> None:
    """Only the path as it is: what was decoded, merged or cut off on the way here must not reach a policy.

    A percent-encoded letter, a second leading slash, a fragment: the target on the wire says something else than Flask.
    """
    target = str(environ.get("RAW_URI", "")).partition("?")[0]
    if authority := _AUTHORITY.match(target):
        target = target[authority.end() :]
    if target != request.root_path + request.path:
        raise InvalidPath


def _inputs(route: Route, environ: Environ, body: dict[str, object] | None) -> dict[str, object]:
    inputs: dict[str, object] = {}
    if route.body is not None:
        inputs["body"] = validate(route.body, {} if body is None and route.body_is_optional else body)
    values = _single_values() if environ.get("QUERY_STRING") else {}
    if route.query is not None:
        inputs["query"] = validate(route.query, values)
    elif values:
        raise InvalidRequest("This endpoint takes no query parameters.")
    if route.takes_if_match:
        inputs["if_match"] = _expected_version()
    elif "HTTP_IF_MATCH" in environ:
        raise InvalidRequest("This endpoint takes no If-Match.")
    return inputs


def _single_values() -> dict[str, str]:
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The query is not UTF-8 text.") from None
    values = request.args.to_dict(flat=False)
    if repeated := sorted(name[:100] for name, given in values.items() if len(given) > 1):
        raise InvalidRequest("A query parameter is given more than once.", parameters=repeated[:10])
    for name, given in values.items():
        if "\x00" in name or "\x00" in given[0]:
            raise InvalidRequest("A query parameter contains a NUL character.")
    return {name: given[0] for name, given in values.items()}


def _expected_version() -> int | None:
    """The version in `If-Match: "3"`; 0 for `If-None-Match: *`, which wants there to be none."""
    match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if none_match is not None:
        if none_match.strip() != "*" or match is not None:
            raise InvalidRequest("If-None-Match takes * alone, and not together with If-Match.")
        return 0
    if match is None:
        return None
    version = _ETAG.fullmatch(match.strip())
    if version is None:
        raise InvalidRequest('If-Match takes one version in quotes, such as "3".')
    return int(version[1])


def _render(route: Route, result: Reply | Answer) -> Response:
    answer = result if isinstance(result, Answer) else Answer(result, route.status)
    body = answer.reply.model_dump_json() if answer.reply is not None else answer.body
    return Response(body, answer.status, dict(answer.headers), content_type=answer.content_type if body else None)
