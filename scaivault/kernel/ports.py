"""The seams between siblings: who needs them takes the protocol, bootstrap hands in the implementation."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import LiteralString, Protocol, TypeVar

from scaivault.kernel.caller import Caller, Permission, Principal, Scope
from scaivault.kernel.errors import VaultError
from scaivault.kernel.events import Event
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.limits import Level, RateCategory
from scaivault.kernel.paths import SecretPath
from scaivault.kernel.renewal import Renewal

Row = TypeVar("Row")
Tx = TypeVar("Tx")
TxTo = TypeVar("TxTo", contravariant=True)


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, in UTC."""


class Reach(Protocol):
    """Which paths one caller holds one permission on, decided once for many paths."""

    def covers(self, path: str) -> bool:
        """Whether the permission holds on this path."""

    @property
    def prefixes(self) -> Sequence[str]:
        """Sorted, disjoint literal beginnings outside of which `covers` is always false; [''] is everywhere."""


class Guard(Protocol):
    """Default deny. Scope and policy must both allow; every refusal by `require…` is journalled before it is raised."""

    def require(self, caller: Caller, permission: Permission, path: SecretPath) -> None:
        """Return if allowed, else raise InsufficientScope, AccessDenied or the condition that failed."""

    def require_scope(self, caller: Caller, scope: Scope) -> None:
        """Return if the caller's token has this scope, else InsufficientScope."""

    def require_tenant_admin(self, caller: Caller) -> None:
        """Return if the caller administers the tenant, else AccessDenied."""

    def require_partner_admin(self, caller: Caller) -> None:
        """Return if the caller administers its partner, else AccessDenied."""

    def reach(self, caller: Caller, permission: Permission) -> Reach:
        """Where the permission holds; InsufficientScope if the token can not use it anywhere."""


class Ears(Protocol):
    """Of which paths somebody may know that they are there: those on which policies let him list or read."""

    def hears(self, caller: Caller) -> Reach:
        """Where this is so for this very request. Scopes are not asked: no value is shown."""

    def might_hear(self, principal: Principal) -> Reach:
        """Where it could be so for a request of his, from whichever address, at whatever time."""


class Reentry(Protocol):
    """A request that has waited, and begins again with who is asking."""

    def __call__(self, waited_seconds: float) -> Caller:
        """The caller as he is known by now, or the error that says why not."""


class Journal(Protocol[Tx]):
    """The audit trail. No answer may leave before its entry is durable."""

    def operation(
        self,
        action: Action,
        caller: Caller,
        path: SecretPath | None = None,
        *,
        refusals: Mapping[str, type[VaultError]] | None = None,
    ) -> AbstractContextManager[Tx]:
        """A transaction for one operation, which records its own success in it.

        If the state of its object refuses it (NotFound, Conflict), that is recorded alone, after the rollback. So is
        what a constraint refuses that `refusals` has a word for.
        """

    def record(self, tx: Tx, entry: Entry) -> None:
        """Add the entry to the caller's transaction: it commits with what it tells of, or not at all."""

    def record_alone(self, entry: Entry) -> None:
        """Add the entry in a transaction of its own, for what changed nothing: denials and failures."""

    def find(self, kind: type[Row], query: LiteralString, parameters: Mapping[str, object], entry: Entry) -> Row | None:
        """Run a look-up and record it in one durable statement, `success` meaning that a row was found.

        `query` is a SELECT of at most one row with psycopg's named placeholders; its row becomes a `kind`. The entry's
        `extra` gets the row's `version`: what was shown, not what was asked for.
        """


class Outbox(Protocol[TxTo]):
    """What others are told of. An event commits with what it tells of, or not at all."""

    def is_wanted(self, event: Event) -> bool:
        """Whether anybody listens for this very event: a look into memory, for who would open a transaction for it."""

    def catch_up(self) -> None:
        """Hear of who listens by now: before its transaction, for who acts without a request, which does so itself."""

    def publish(self, tx: TxTo, event: Event) -> None:
        """Add the event to the caller's transaction; nothing, and at no cost, where nobody listens for it."""


class Mentions(Protocol[TxTo]):
    """What names webhooks by their ids, for who deletes one."""

    def drop_webhook(self, tx: TxTo, caller: Caller, webhook_id: str) -> Sequence[str]:
        """Have nothing name it any more; the ids of what did. The webhook's row is deleted before, in `tx`."""


class Rotations(Protocol[TxTo]):
    """How often secrets are renewed, for who writes them: their rows are locked by the caller's transaction."""

    def check_secret_policy(self, tx: TxTo, caller: Caller, secret_policy_id: str) -> None:
        """NotFound if the caller's tenant has no such secret policy."""

    def assign(self, tx: TxTo, caller: Caller, path: SecretPath, policy_id: str | None) -> None:
        """Have the secret renewed by this rotation policy from now on, by none if it is None. NotFound."""

    def renewed(self, tx: TxTo, caller: Caller, renewal: Renewal) -> None:
        """A secret's value has been replaced: note it, tell of it, and let what was there be read for a while only."""


class Buckets(Protocol):
    """Token buckets, one for each category and whoever is counted in it: an identity, or a client's address.

    A bucket holds as many units as its category's limit, all of them at first, and gets as many back in a minute,
    evenly. Never an outage: a bucket always answers.
    """

    def take(self, category: RateCategory, whose: str, units: int = 1) -> Level:
        """Take the units if they are all there, else none. Fewer than none are given back."""

    def known(self, category: RateCategory, whose: str) -> Level:
        """What this process knows of the bucket, as if one unit were wanted; nothing is taken and nobody asked."""


class KeyState(StrEnum):
    """What may be done with a root key, in the words of `encryption.key_status`."""

    ACTIVE = "active"
    DISABLED = "disabled"
    PENDING_DELETION = "pending_deletion"
    UNAVAILABLE = "unavailable"


class KeyService(Protocol):
    """The root of the key chain, in a KMS or an HSM: wraps 32-byte keys and signs. Unavailable when it can not."""

    @property
    def key_id(self) -> str:
        """Names the root key in wrapped keys' rows and in health; not secret."""

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes:
        """Wrap `plaintext`; it opens only with the same `context`."""

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """Undo `encrypt`; Unavailable when the service can not, TamperedCiphertext when it is not what was wrapped."""

    def sign(self, message: bytes) -> bytes:
        """A signature by the service's signing key."""

    def state(self) -> KeyState:
        """What the service says of the root key now; UNAVAILABLE, and no exception, when it says nothing.

        One question without retries: for health, and never for a request.
        """
