"""Values made by secret policies, for whoever writes them into secrets."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from scaivault.crypto import generation
from scaivault.features.generators import store
from scaivault.features.generators.errors import SecretPolicyInactive, SecretPolicyNotFound
from scaivault.features.generators.model.configs import (
    ALPHANUMERIC,
    BcryptHash,
    Config,
    EcKeypair,
    Hex,
    Keypair,
    Random,
    RsaKeypair,
    SshKeypair,
    Static,
    Template,
    Uuid,
)
from scaivault.features.generators.model.fields import AnyField
from scaivault.features.generators.model.policies import check_id
from scaivault.features.generators.model.templates import Filling, Placeholder, pieces
from scaivault.kernel.ids import uuid7
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database

Generate = Callable[[Sequence[AnyField], datetime], Plaintext]


class GenerationService:
    """For other features: a secret's next content by one of its tenant's policies."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def generate(self, tenant_id: str, secret_policy_id: str) -> Plaintext:
        """What a secret's `data` is to be: a JSON object of texts, as `secrets` takes it in `Write.plaintext`.

        SecretPolicyNotFound, also for one of another tenant; SecretPolicyInactive. Asks nobody's scope and leaves no
        row in the trail: the caller's use case does both. Up to `MOST_MILLISECONDS` of work: call it with no
        transaction open.
        """
        return self.maker(tenant_id, secret_policy_id)()

    def milliseconds(self, tenant_id: str, secret_policy_id: str) -> int:
        """About what one value by the policy takes to make; 0 where there is none to be made."""
        with self._database.session() as session:
            policy = store.find_policy(session, tenant_id, check_id(secret_policy_id))
        return 0 if policy is None else sum(field.config.milliseconds for field in policy.fields)

    def maker(self, tenant_id: str, secret_policy_id: str) -> Callable[[], Plaintext]:
        """What makes one value after the other by the policy as it is now. Raises what `generate` does."""
        with self._database.session() as session:
            policy = store.find_policy(session, tenant_id, check_id(secret_policy_id))
        if policy is None:
            raise SecretPolicyNotFound
        if not policy.is_active:
            raise SecretPolicyInactive
        fields = policy.fields
        return lambda: generated(fields, self._clock.now())


def generated(fields: Sequence[AnyField], now: datetime) -> Plaintext:
    """New values for all fields, as one JSON object."""
    data: dict[str, str] = {}
    for field in fields:
        data.update(zip(field.config.names(field.name), _values(field.config, now), strict=True))
    return Plaintext(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def _values(config: Config, now: datetime) -> tuple[str, ...]:
    """As many as the config has names."""
    match config:
        case Keypair():
            pair = _pair(config)
            return (pair.private, pair.public)
        case BcryptHash():
            password = generation.random_text(ALPHANUMERIC, config.length)
            return (password, generation.bcrypt_hash(password, config.rounds))
        case Template():
            return ("".join(_filled(piece, now) for piece in pieces(config.template)),)
    return (_text(config),)


def _text(config: Config) -> str:
    match config:
        case Random():
            return generation.random_text(config.alphabet, config.length, config.required)
        case Hex():
            return generation.random_hex(config.length)
        case Uuid():
            return generation.random_uuid() if config.version == 4 else str(UUID(int=uuid7()))  # noqa: PLR2004 - UUID's own numbers
        case Static():
            return config.value
    raise TypeError(f"nothing makes a {type(config).__name__}")


def _pair(config: Keypair) -> generation.KeyPair:
    match config:
        case RsaKeypair():
            return generation.rsa_pair(config.bits)
        case EcKeypair():
            return generation.ec_pair(config.curve)
        case SshKeypair():
            return generation.ssh_pair(config.key_type, config.comment)
    raise TypeError(f"nothing makes a {type(config).__name__}")


def _filled(piece: str | Placeholder, now: datetime) -> str:
    if isinstance(piece, str):
        return piece
    match piece.filling:
        case Filling.RANDOM:
            return generation.random_text(ALPHANUMERIC, piece.length)
        case Filling.HEX:
            return generation.random_hex(piece.length)
        case Filling.UUID:
            return generation.random_uuid()
        case Filling.TIMESTAMP:
            return str(int(now.timestamp()))
