"""Values that nobody can guess.

Texts come from the kernel (`secrets`), keys from OpenSSL, whose generator the kernel seeds, and seeds anew after a
fork: nothing is seeded here. Key pairs and hashes are made with the interpreter's lock released, so that a thread which
waits for a large key keeps no other one waiting.
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import bcrypt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

MAX_BCRYPT_BYTES = 72  # what is beyond them does not count, and the library refuses it
SSH_RSA_BITS = 3072  # as OpenSSH makes them

_PUBLIC_EXPONENT = 65_537
_CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, repr=False)
class KeyPair:
    """Both halves as text; never shown."""

    private: str
    public: str


def random_text(alphabet: str, length: int, required: Sequence[str] = ()) -> str:
    """`length` characters of `alphabet`, with at least one of each of the `required` sets, which are parts of it.

    Uniform over all texts that satisfy this. Each try is uniform over all texts: `secrets.choice` takes a number below
    the alphabet's size by drawing again what lies beyond, not by a remainder, so that no character is likelier. Keeping
    the first try that satisfies is drawing from the texts which do, all with the same chance. Putting the required
    characters in afterwards would not be: it makes texts with exactly one of them likelier, and some positions too.
    A try fails with a chance that depends on alphabet and length alone, so how often it failed tells nothing of the
    text. The caller sees to it that a fair share of all texts satisfies (`model.fields.Random`: one in a hundred).
    """
    while True:
        text = "".join(secrets.choice(alphabet) for _ in range(length))
        if all(any(character in text for character in group) for group in required):
            return text


def random_hex(length: int) -> str:
    """`length` lower-case hexadecimal digits, four random bits each."""
    return secrets.token_hex((length + 1) // 2)[:length]


def random_uuid() -> str:
    """A UUID of version 4: 122 random bits."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def rsa_pair(bits: int) -> KeyPair:
    """PKCS #8 and SubjectPublicKeyInfo, in PEM."""
    return _pem(rsa.generate_private_key(_PUBLIC_EXPONENT, bits))


def ec_pair(curve: Literal["P-256", "P-384"]) -> KeyPair:
    """PKCS #8 and SubjectPublicKeyInfo, in PEM."""
    return _pem(ec.generate_private_key(_CURVES[curve]()))


def ssh_pair(key_type: Literal["ed25519", "rsa"], comment: str) -> KeyPair:
    """OpenSSH's private form and its line for authorized_keys, which ends with the comment if there is one."""
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if key_type == "ed25519"
        else rsa.generate_private_key(_PUBLIC_EXPONENT, SSH_RSA_BITS)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), f"{public.decode()} {comment}".rstrip())


def bcrypt_hash(password: str, rounds: int) -> str:
    """`$2b$…`, of at most 72 bytes, in 2 to the `rounds` steps."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()


def _pem(key: PrivateKey) -> KeyPair:
    # In clear: what keeps it is the vault, and a passphrase would have to be kept beside it.
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())
