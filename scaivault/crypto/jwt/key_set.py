"""A JWKS document (RFC 7517) as public keys by name, each with the one algorithm it verifies."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scaivault.crypto.jwt import base64url
from scaivault.kernel.documents import parse_document

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MAX_DOCUMENT_BYTES = 262_144
MAX_KEYS = 100
MAX_KID_CHARACTERS = 200
MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 8_192  # the most so that no signature costs more than a millisecond
COORDINATE_BYTES = 32
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the only algorithm whose signatures it verifies, whatever a token's header says."""

    kid: str
    algorithm: str
    fingerprint: tuple[str, ...]
    public: PublicKey = field(repr=False, compare=False)


KeySet = Mapping[str, VerificationKey]


def parse_key_set(raw: bytes) -> KeySet:
    """The keys of a document that we can use, by kid; ValueError, which quotes nothing, if it is no key set.

    A key that must not be used is left out and not made the whole document's fault: were the document refused, the
    keys known before would go on, and with them the very key whose private half is published in it.
    """
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ValueError("the document is too large")
    listed = parse_document(raw).get("keys")
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_KEYS:
        raise ValueError(f"`keys` is not a list of 1 to {MAX_KEYS}")
    entries = [entry for entry in listed if isinstance(entry, dict) and _is_name(entry.get("kid"))]
    times = Counter(entry["kid"] for entry in entries)
    # Of two keys with one name nobody can say which was meant: neither.
    found = (_verification_key(entry) for entry in entries if times[entry["kid"]] == 1)
    return {key.kid: key for key in found if key is not None}


def _is_name(kid: object) -> bool:
    return isinstance(kid, str) and 1 <= len(kid) <= MAX_KID_CHARACTERS


def _verification_key(entry: Mapping[str, Any]) -> VerificationKey | None:
    """The entry's key, or None if it is none of ours: another kind, for another use, weak, malformed or published."""
    kind = _KINDS.get((_text(entry, "kty"), _text(entry, "crv")))
    if kind is None or not _PRIVATE.isdisjoint(entry) or not _is_meant_to_verify(entry, kind.algorithm):
        return None
    try:
        numbers = [_text(entry, name) for name in kind.members]
        public = kind.load([base64url.decode(number) for number in numbers])
    except (ValueError, UnsupportedAlgorithm):
        return None
    return VerificationKey(entry["kid"], kind.algorithm, tuple(numbers), public)


def _is_meant_to_verify(entry: Mapping[str, Any], algorithm: str) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and entry.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _rsa(numbers: Sequence[bytes]) -> PublicKey:
    modulus, exponent = (int.from_bytes(number) for number in numbers)
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or exponent.bit_length() > COORDINATE_BYTES:
        raise ValueError("too weak or too large")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _p256(numbers: Sequence[bytes]) -> PublicKey:
    x, y = numbers
    if len(x) != COORDINATE_BYTES or len(y) != COORDINATE_BYTES:
        raise ValueError("not two coordinates")
    # Refuses a point that is not on the curve.
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()).public_key()


def _ed25519(numbers: Sequence[bytes]) -> PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(numbers[0])


@dataclass(frozen=True, slots=True)
class _Kind:
    algorithm: str
    members: Sequence[str]
    load: Callable[[Sequence[bytes]], PublicKey]


# By `kty` and `crv`. `oct` is not among them: a secret that both sides know is no signature.
_KINDS: Final[Mapping[tuple[str, str], _Kind]] = {
    ("RSA", ""): _Kind("RS256", ("n", "e"), _rsa),
    ("EC", "P-256"): _Kind("ES256", ("x", "y"), _p256),
    ("OKP", "Ed25519"): _Kind("EdDSA", ("x",), _ed25519),
}
