"""What generators may be told. One description for bodies, answers, rows and the API document.

What a body may say, a row may hold: a bound that is made narrower here makes rows unreadable.

Every length is bounded so that the longest value of the widest policy fits into a secret (1 MiB), and every policy's
work by `fields.MOST_MILLISECONDS`: whoever asks for a value waits for it on a request's thread or in the worker.
"""

import string
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from scaivault.features.generators.model.templates import pieces

MAX_LENGTH = 1_024
MAX_STATIC = 4_096
MAX_TEMPLATE = 2_000
MAX_BCRYPT_LENGTH = 72

ALPHANUMERIC = string.ascii_letters + string.digits
# Punctuation but for quotes, backtick and backslash: they end or escape what a value is put between.
SYMBOLS = "".join(sign for sign in string.punctuation if sign not in "'\"`\\")
# To be read aloud, typed off paper and pasted anywhere: none of 0 O o, 1 l I, which look alike, and but one sign, which
# means nothing to a shell, a URL, a .env file, YAML or SQL wherever it stands (a `-` in front would be an option).
SAFE = "".join(sign for sign in ALPHANUMERIC if sign not in "0Oo1lI") + "_"
CHARSETS = {"alphanumeric": ALPHANUMERIC, "alpha": string.ascii_letters, "numeric": string.digits, "safe": SAFE}

# About how long one takes on one processor.
_RSA_MILLISECONDS = {2048: 50, 4096: 750}
_HALVES = (("private", "public"), ("PRIVATE", "PUBLIC"), ("Private", "Public"))
_SSH_MILLISECONDS = {"ed25519": 0, "rsa": 250}


def _within(group: str, alphabet: str) -> str:
    return "".join(character for character in alphabet if character in group)


class Config(BaseModel):
    """What one generator is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def names(self, name: str) -> tuple[str, ...]:
        """What a field of this name puts into the secret."""
        return (name,)

    @property
    def milliseconds(self) -> int:
        return 0


class Random(Config):
    """`require_symbol` adds ASCII punctuation without quotes, backtick and backslash to a charset that has none.

    `safe` is letters, digits and `_`, without 0, O, o, 1, l and I.
    """

    length: Annotated[int, Field(ge=4, le=MAX_LENGTH)] = 32
    charset: Literal["alphanumeric", "alpha", "numeric", "safe"] = "alphanumeric"
    require_upper: bool = False
    require_lower: bool = False
    require_digit: bool = False
    require_symbol: bool = False

    @property
    def alphabet(self) -> str:
        charset = CHARSETS[self.charset]
        return charset + SYMBOLS if self.require_symbol and not _within(SYMBOLS, charset) else charset

    @property
    def required(self) -> tuple[str, ...]:
        """The parts of the alphabet of each of which the value has at least one character.

        There are four at most, so 4 characters have room for them; of all texts of 4, one in a hundred has them.
        """
        wanted = {
            string.ascii_uppercase: self.require_upper,
            string.ascii_lowercase: self.require_lower,
            string.digits: self.require_digit,
            SYMBOLS: self.require_symbol,
        }
        return tuple(_within(group, self.alphabet) for group, is_wanted in wanted.items() if is_wanted)

    @model_validator(mode="after")
    def _satisfiable(self) -> "Random":
        if not all(self.required):
            raise ValueError(f"the charset {self.charset} has no character of a kind that is required")
        return self


class Hex(Config):
    """Lower-case hexadecimal digits."""

    length: Annotated[int, Field(ge=4, le=MAX_LENGTH)] = 64


class Uuid(Config):
    """Version 7 begins with the time."""

    version: Literal[4, 7] = 4


def _check_template(template: str) -> str:
    pieces(template)
    return template


class Template(Config):
    """Text around placeholders: `{{random:N}}` (letters and digits), `{{hex:N}}`, `{{uuid}}` (version 4) and
    `{{timestamp}}` (Unix seconds), 1 to 16 of them, N from 1 to 256. The text around them is not kept secret.
    """

    template: Annotated[str, Field(min_length=1, max_length=MAX_TEMPLATE), AfterValidator(_check_template)]


class Keypair(Config):
    """Two values: the private key under the field's name, the public one under what it makes of that."""

    def names(self, name: str) -> tuple[str, ...]:
        for private, public in _HALVES:
            if private in name:
                return (name, name.replace(private, public, 1))
        return (name, f"{name}_public")


class RsaKeypair(Keypair):
    """PEM: PKCS #8 and SubjectPublicKeyInfo."""

    bits: Literal[2048, 4096] = 2048

    @property
    def milliseconds(self) -> int:
        return _RSA_MILLISECONDS[self.bits]


class EcKeypair(Keypair):
    """PEM: PKCS #8 and SubjectPublicKeyInfo."""

    curve: Literal["P-256", "P-384"] = "P-256"


def _one_line(text: str) -> str:
    # A second line would be a second key, wherever the public half is put.
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text.strip()


class SshKeypair(Keypair):
    """OpenSSH's forms; `rsa` has 3072 bits. The comment ends the public key's line."""

    key_type: Literal["ed25519", "rsa"] = "ed25519"
    comment: Annotated[str, Field(max_length=200), AfterValidator(_one_line)] = ""

    @property
    def milliseconds(self) -> int:
        return _SSH_MILLISECONDS[self.key_type]


class BcryptHash(Config):
    """A password of letters and digits, and its `$2b$` hash. Each round doubles the work."""

    length: Annotated[int, Field(ge=8, le=MAX_BCRYPT_LENGTH)] = 32
    rounds: Annotated[int, Field(ge=10, le=14)] = 12

    def names(self, name: str) -> tuple[str, ...]:
        return (name, f"{name}_hash")

    @property
    def milliseconds(self) -> int:
        return (1 << self.rounds) // 10


class Static(Config):
    """The value itself, as everybody sees it who may read policies: for what is not secret, such as a user name."""

    value: Annotated[str, Field(max_length=MAX_STATIC)]
