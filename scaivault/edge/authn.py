"""The Authorization header, and nothing but it: no token in a query string, no cookie."""

import re

from scaivault.kernel.errors import TokenInvalid, Unauthenticated

MAX_TOKEN_CHARACTERS = 16_384
_BEARER = re.compile(r"bearer +([!-~]+) *", re.ASCII | re.IGNORECASE)


def bearer_token(header: str | None) -> str:
    """The token in `Authorization: Bearer <token>`. Unauthenticated if the header has another form."""
    if header is None:
        raise Unauthenticated
    if len(header) > MAX_TOKEN_CHARACTERS:
        raise TokenInvalid
    match = _BEARER.fullmatch(header)
    if match is None:
        raise Unauthenticated
    return match[1]
