"""From a compact JWS to claims that its issuer has signed for us, or to an error that tells a stranger nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from scaivault.crypto.jwt import base64url
from scaivault.crypto.jwt.key_set import MAX_KID_CHARACTERS, VerificationKey
from scaivault.kernel.documents import parse_document
from scaivault.kernel.errors import TokenExpired, TokenInvalid

MAX_TOKEN_CHARACTERS = 16_384
MAX_HEADER_CHARACTERS = 1_024
LEEWAY = timedelta(seconds=60)
LATEST_SECONDS = 253_402_214_400  # the last day a datetime has
_PARTS = 3
_ISSUER = re.compile(r"[!-~]{1,500}", re.ASCII)
_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
# Closed: `jku`, `x5u`, `jwk` and `x5c` bring a key along, `zip` a bomb, `b64` and `crit` another way to read the rest.
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_SIGNATURES: Final = jwt.PyJWS(algorithms=_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Audience:
    """Whose tokens are taken, and for whom they must be made out."""

    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What the issuer says, verified; `named` holds all of it, of any type."""

    subject: str
    issued_at: datetime | None
    expires_at: datetime
    named: Mapping[str, Any] = field(repr=False)


def key_name(token: str, beside: frozenset[str] = frozenset()) -> str:
    """The kid in a token's header; TokenInvalid if it says anything unusual, or the token could be spelt otherwise.

    `beside` are names that this issuer's headers may have besides; what they say is not looked at.
    """
    parts = token.split(".") if len(token) <= MAX_TOKEN_CHARACTERS else []
    if len(parts) != _PARTS or len(parts[0]) > MAX_HEADER_CHARACTERS:
        raise TokenInvalid
    try:
        header, *_ = (base64url.decode(part) for part in parts)
        named = parse_document(header)
    except ValueError:
        raise TokenInvalid from None
    kid = named.get("kid")
    typed = named.get("typ", "JWT")
    if not named.keys() <= _HEADER_NAMES | beside or named.get("alg") not in _ALGORITHMS:
        raise TokenInvalid
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARACTERS:
        raise TokenInvalid
    if not isinstance(typed, str) or typed.lower() not in _TYPES:
        raise TokenInvalid
    return kid


def claimed_issuer(token: str) -> str:
    """Who a token says it is from, which is not known to be true. For finding whose keys to try, and nothing else."""
    if len(token) > MAX_TOKEN_CHARACTERS or token.count(".") != _PARTS - 1:
        raise TokenInvalid
    try:
        issuer = parse_document(base64url.decode(token.split(".")[1])).get("iss")
    except ValueError:
        raise TokenInvalid from None
    if not isinstance(issuer, str) or _ISSUER.fullmatch(issuer) is None:
        raise TokenInvalid
    return issuer


def verify(token: str, key: VerificationKey, expected: Audience, now: datetime) -> Claims:
    """The claims of a token in force. TokenInvalid, or TokenExpired for one that was ours and in force once.

    `key` is the issuer's of the name that `key_name` gave. Nothing but the header is looked into before the signature
    is known to be good.
    """
    try:
        # The key says which algorithm it is; a header that says another one is refused, `none` and HMAC among them.
        opened = _SIGNATURES.decode_complete(token, key.public, algorithms=[key.algorithm])
        named = parse_document(opened["payload"])
    except (jwt.PyJWTError, ValueError):
        # Without a cause: its text may quote the token.
        raise TokenInvalid from None
    return _checked(named, expected, now)


def _checked(named: Mapping[str, Any], expected: Audience, now: datetime) -> Claims:
    subject, expires_at, issued_at = named.get("sub"), instant(named, "exp"), instant(named, "iat")
    not_before = instant(named, "nbf")
    is_ours = _is_from(named, expected.issuer) and _is_for(named.get("aud"), expected.audience)
    if not is_ours or not isinstance(subject, str) or not subject or expires_at is None:
        raise TokenInvalid
    if any(begins is not None and begins > now + LEEWAY for begins in (not_before, issued_at)):
        raise TokenInvalid
    if expires_at + LEEWAY <= now:
        raise TokenExpired
    return Claims(subject, issued_at, expires_at, named)


def instant(named: Mapping[str, Any], name: str) -> datetime | None:
    """A claim's instant, None if there is no such claim. Whole seconds only: TokenInvalid for any other value."""
    value = named.get(name)
    if value is None and name not in named:
        return None
    # type() and not isinstance: True is an int too.
    if type(value) is not int or not 0 <= value <= LATEST_SECONDS:
        raise TokenInvalid
    return datetime.fromtimestamp(value, UTC)


def _is_from(named: Mapping[str, Any], issuer: str) -> bool:
    """The issuer itself, or its branch for the very tenant that the token is about."""
    said, tenant_id = named.get("iss"), named.get("tenant_id")
    return said == issuer or (isinstance(tenant_id, str) and said == f"{issuer}/tenants/{tenant_id}")


def _is_for(said: object, audience: str) -> bool:
    return said == audience or (isinstance(said, list) and audience in said)
