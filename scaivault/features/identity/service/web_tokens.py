"""What a JSON web token stands for: its issuer says who and what for, our tables say where."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scaivault.crypto.jwt.verification import LEEWAY, Audience, Claims, key_name, verify
from scaivault.features.identity import store
from scaivault.features.identity.model import Home, Standing, UserHome
from scaivault.features.identity.service import claims as told
from scaivault.features.identity.service.issuer_keys import IssuerKeys
from scaivault.kernel.errors import TenantAccessDenied
from scaivault.kernel.ports import Clock
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs

MOST_CACHED = 10_000
SomeHome = TypeVar("SomeHome", bound=Home)


@dataclass(frozen=True, slots=True)
class _Known:
    generation: int
    standing: Standing


class WebTokens:
    """JSON web tokens of one issuer. One that was seen before costs a hash and no signature.

    It is remembered by its digest, never as it is. SHA-256 without a key will do: what is hashed ends in a signature
    that nobody can guess, and other spellings of the same token are other digests, which verification refuses.
    """

    def __init__(
        self,
        database: Database,
        epochs: Epochs,
        keys: IssuerKeys,
        expected: Audience,
        clock: Clock,
        on_cache: Callable[[str], None],
        on_tenant: Callable[[str], None],
    ) -> None:
        """`on_tenant` hears whose tenant's token had to be verified."""
        self._database = database
        self._epochs = epochs
        self._keys = keys
        self._expected = expected
        self._clock = clock
        self._on_cache = on_cache
        self._on_tenant = on_tenant
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turn = threading.Lock()

    def find(self, token: str) -> Standing:
        """What a token in force stands for. TokenInvalid, TokenExpired, TenantAccessDenied for an unknown tenant."""
        digest = _digest(token)
        return self._remembered(digest) or self._load(token, digest)

    def recall(self, token: str) -> Standing | None:
        """What a token that was verified before is known to stand for, without verifying anything."""
        return self._remembered(_digest(token))

    def _remembered(self, digest: bytes) -> Standing | None:
        with self._turn:
            known = self._known.get(digest)
        is_current = known is not None and self._is_current(known)
        self._on_cache("hit" if is_current else "miss")
        return known.standing if known is not None and is_current else None

    def _is_current(self, known: _Known) -> bool:
        """Whether the very same keys, the same authority and the same instant of ending are still what counts."""
        standing = known.standing
        return (
            known.generation == self._keys.generation()
            and standing.epoch >= self._epochs.of(standing.principal.tenant_id)
            and standing.ends_at > self._clock.now()
        )

    def _load(self, token: str, digest: bytes) -> Standing:
        kid = key_name(token)
        # Read before the key is looked up: if keys change in between, the entry is filed under the older generation
        # and is void at its first use.
        generation = self._keys.generation()
        claims = verify(token, self._keys.find(kid), self._expected, self._clock.now())
        standing = self._standing(claims, digest)
        self._on_tenant(standing.principal.tenant_id)
        with self._turn:
            self._known[digest] = _Known(generation, standing)
            self._known.move_to_end(digest)
            if len(self._known) > MOST_CACHED:
                self._known.popitem(last=False)
        return standing

    def _standing(self, claims: Claims, digest: bytes) -> Standing:
        tenant_id = told.tenant_of(claims.named)
        home, identity_id = self._home(claims.named, tenant_id)
        return Standing(
            told.principal_of(claims, home, tenant_id, identity_id, f"jwt_{digest.hex()[:32]}", self._clock.now()),
            issued_at=claims.issued_at or self._clock.now(),
            ends_at=claims.expires_at + LEEWAY,
            is_revoked=False,
            is_suspended=home.is_suspended,
            is_foreign=told.names_another_partner(claims.named, home.partner_id),
            epoch=home.epoch,
            is_anothers=isinstance(home, UserHome) and home.is_anothers,
        )

    def _home(self, named: told.Named, tenant_id: str) -> tuple[Home, str]:
        """What is known of whom the token is for, and the identity that is."""
        self._epochs.watch()
        client_id = told.client_of(named)
        if client_id is not None:
            with self._database.session() as session:
                home = store.find_home(session, tenant_id, client_id)
            return _there(home), client_id
        who = told.claimant_of(named)
        with self._database.session() as session:
            user_home = _there(store.find_home_of_user(session, tenant_id, who))
        return user_home, told.user_of(who, user_home)


def _there(home: SomeHome | None) -> SomeHome:
    if home is None:
        raise TenantAccessDenied
    return home


def _digest(token: str) -> bytes:
    # A lone surrogate, which JSON can carry to introspection, has a digest too: of nothing that verifies.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
