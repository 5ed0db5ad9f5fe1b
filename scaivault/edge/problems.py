"""Errors become answers here, by one table. What is not in the table is a bare internal_error, its text withheld."""

import json
from collections.abc import Mapping

from flask import Response
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, RequestEntityTooLarge

from scaivault.kernel import errors
from scaivault.kernel.errors import RateLimited, VaultError

STATUS: Mapping[type[VaultError], int] = {
    errors.InvalidRequest: 400,
    errors.BodyTooLarge: 413,
    errors.ValidationFailed: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}

RETRY_AFTER_SECONDS = 1


def status_of(kind: type[VaultError]) -> int | None:
    """The HTTP status of an error class: its own or its nearest ancestor's. None: internal."""
    return next((STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS), None)


def render(failure: Exception, request_id: str) -> Response:
    """The documented envelope for any exception."""
    if isinstance(failure, VaultError) and (status := status_of(type(failure))) is not None:
        response = _envelope(status, failure.code, failure.message, failure.details, request_id)
        if isinstance(failure, RateLimited):
            response.headers["Retry-After"] = str(failure.retry_after_seconds)
        return response
    # Flask's own InternalServerError is what became of a failure in our hooks.
    if isinstance(failure, HTTPException) and not isinstance(failure, InternalServerError):
        return _http(failure, request_id)
    return _envelope(500, "internal_error", "Something went wrong on our side.", {}, request_id)


def _http(failure: HTTPException, request_id: str) -> Response:
    if isinstance(failure, MethodNotAllowed):
        allowed = sorted(failure.valid_methods or ())
        response = _envelope(
            405, "method_not_allowed", "This address does not take that method.", {"allowed": allowed}, request_id
        )
        response.headers["Allow"] = ", ".join(allowed)
        return response
    if isinstance(failure, RequestEntityTooLarge):
        return _envelope(413, "invalid_request", "The body is too large.", {}, request_id)
    return _envelope(400, "invalid_request", "The request is malformed.", {}, request_id)


def _envelope(status: int, code: str, message: str, details: Mapping[str, object], request_id: str) -> Response:
    error: dict[str, object] = {"code": code, "message": message, "request_id": request_id}
    if details:
        error["details"] = dict(details)
    response = Response(json.dumps({"error": error}), status, content_type="application/json")
    if status == 401:  # noqa: PLR2004 - the status RFC 9110 demands a challenge for
        response.headers["WWW-Authenticate"] = 'Bearer realm="scaivault"'
    if status == 503:  # noqa: PLR2004 - a failure that passes
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
