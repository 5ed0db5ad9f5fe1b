"""The fields of a secret policy: what each is called in the secret, and what makes its value."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, TypeAdapter

from scaivault.features.generators.model.configs import (
    BcryptHash,
    EcKeypair,
    Hex,
    Random,
    RsaKeypair,
    SshKeypair,
    Static,
    Template,
    Uuid,
)

MAX_FIELDS = 32
MOST_MILLISECONDS = 3_000
GENERATORS = (
    "random",
    "hex",
    "uuid",
    "template",
    "rsa_keypair",
    "ec_keypair",
    "ssh_keypair",
    "bcrypt_hash",
    "static",
)

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$", examples=["password"])]


class _Named(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: FieldName


class RandomField(_Named):
    generator: Literal["random"]
    config: Random = Random()


class HexField(_Named):
    generator: Literal["hex"]
    config: Hex = Hex()


class UuidField(_Named):
    generator: Literal["uuid"]
    config: Uuid = Uuid()


class TemplateField(_Named):
    generator: Literal["template"]
    config: Template


class RsaKeypairField(_Named):
    """`name` has the private key; the public one's name has `public` for `private`, or else `_public` behind it."""

    generator: Literal["rsa_keypair"]
    config: RsaKeypair = RsaKeypair()


class EcKeypairField(_Named):
    """`name` has the private key; the public one's name has `public` for `private`, or else `_public` behind it."""

    generator: Literal["ec_keypair"]
    config: EcKeypair = EcKeypair()


class SshKeypairField(_Named):
    """`name` has the private key; the public one's name has `public` for `private`, or else `_public` behind it."""

    generator: Literal["ssh_keypair"]
    config: SshKeypair = SshKeypair()


class BcryptHashField(_Named):
    """`name` has the password; its hash has the name with `_hash` behind it."""

    generator: Literal["bcrypt_hash"]
    config: BcryptHash = BcryptHash()


class StaticField(_Named):
    generator: Literal["static"]
    config: Static


def _known(value: object) -> object:
    # Before pydantic says the same, and quotes what it was given.
    if isinstance(value, dict) and value.get("generator") not in GENERATORS:
        raise ValueError(f"its generator is one of {', '.join(GENERATORS)}")
    return value


AnyField = Annotated[
    RandomField
    | HexField
    | UuidField
    | TemplateField
    | RsaKeypairField
    | EcKeypairField
    | SshKeypairField
    | BcryptHashField
    | StaticField,
    Discriminator("generator"),
    BeforeValidator(_known),
]


def _go_together(fields: list[AnyField]) -> list[AnyField]:
    given = Counter(name for field in fields for name in field.config.names(field.name))
    if twice := sorted(name for name, count in given.items() if count > 1):
        # Names of the form that fields have: they can be shown.
        raise ValueError(f"more than one field gives {', '.join(twice[:5])} (a pair gives both halves)")
    if sum(field.config.milliseconds for field in fields) > MOST_MILLISECONDS:
        raise ValueError(
            "more work than one policy may make: at most four RSA keys of 4096 bits, or one bcrypt hash of 14 rounds, "
            "seven of 12"
        )
    return fields


Fields = Annotated[list[AnyField], Field(min_length=1, max_length=MAX_FIELDS), AfterValidator(_go_together)]
_ROWS: TypeAdapter[list[AnyField]] = TypeAdapter(list[AnyField])


def parse_fields(rows: Sequence[Any]) -> tuple[AnyField, ...]:
    """Fields as a row keeps them."""
    return tuple(_ROWS.validate_python(list(rows)))


def as_rows(fields: Sequence[AnyField]) -> list[dict[str, Any]]:
    """Undo `parse_fields`. Defaults are written out: they stay what they were when the policy was made."""
    return [field.model_dump(mode="json") for field in fields]
