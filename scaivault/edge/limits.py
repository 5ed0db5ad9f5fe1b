"""How much whoever asks may still ask for: 429 when it is used up, and the headers that say so beforehand.

An identity is counted at home, whichever token it uses and in whichever tenant it acts. Who has not proven who he is
is counted by his address, in buckets that no identity is ever held to.
"""

import math
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn, Protocol

from scaivault.edge.authn import bearer_token
from scaivault.edge.exchange import Exchange
from scaivault.kernel.caller import Caller, Origin
from scaivault.kernel.errors import Forbidden, InvalidRequest, RateLimited, Unauthenticated
from scaivault.kernel.limits import Level, RateCategory
from scaivault.kernel.ports import Buckets, Clock

IPV6_HOST_BITS = 64  # a subscriber has all of a /64


class Authenticator(Protocol):
    """From a bearer token to a caller, in two steps: who it is, and where it acts."""

    def remembers(self, token: str) -> bool:
        """Whether the token is known to be in force, without a look-up."""

    def identify(self, token: str, origin: Origin) -> Caller:
        """The caller at home, or the error that says why not."""

    def enter(self, caller: Caller, tenant_id: str) -> Caller:
        """The caller in the tenant, or the error that says why not."""


class Limits:
    """Takes units from buckets, and refuses. `second_looks` is this process's own, see `identify`."""

    def __init__(
        self,
        buckets: Buckets,
        second_looks: Buckets,
        authenticator: Authenticator,
        clock: Clock,
        on_hit: Callable[[str], None],
    ) -> None:
        self._buckets = buckets
        self._second_looks = second_looks
        self._authenticator = authenticator
        self._clock = clock
        self._on_hit = on_hit

    def identify(self, exchange: Exchange, authorization: str | None) -> Caller:
        """The caller at home. A failure costs its address a unit, and is told as 429 when there is none left.

        From an address without units a token that is known to be good is good as ever. Any other is looked up as long
        as this process has looks to spare for that address: whoever shares it with a guesser gets in, and a flood of
        guesses costs no look-up each.
        """
        address = address_of(exchange.origin.source_ip)
        known = self._buckets.known(RateCategory.FAILED_AUTH, address)
        try:
            token = bearer_token(authorization)
            if not known.is_granted and not self._may_be_looked_up(address, token):
                self._refuse(exchange, known)
            return self._authenticator.identify(token, exchange.origin)
        except (Unauthenticated, Forbidden):
            if not known.is_granted:
                self._refuse(exchange, known)
            self._take(exchange, RateCategory.FAILED_AUTH, address)
            raise

    def enter(self, caller: Caller, tenant_id: str) -> Caller:
        return self._authenticator.enter(caller, tenant_id)

    def of_caller(self, exchange: Exchange, category: RateCategory, caller: Caller) -> None:
        """Take one unit of an identity's, or RateLimited."""
        self._take(exchange, category, _identity(caller))

    def of_address(self, exchange: Exchange, category: RateCategory) -> None:
        """Take one unit of a client address's, or RateLimited."""
        self._take(exchange, category, address_of(exchange.origin.source_ip))

    def many(self, exchange: Exchange, category: RateCategory, caller: Caller, units: int) -> None:
        """Take so many units of an identity's or, if they are not all there, none: RateLimited.

        InvalidRequest for more than the whole bucket holds, which no waiting helps. The headers go on telling of the
        route's own category, unless this one refuses.
        """
        level = self._buckets.take(category, _identity(caller), units)
        if units > level.limit:
            raise InvalidRequest(
                "This asks for more than the limit allows at all; ask for fewer at a time.",
                category=category.value,
                limit=level.limit,
            )
        if not level.is_granted:
            self._refuse(exchange, level)

    def give_back(self, category: RateCategory, caller: Caller, units: int) -> None:
        if units > 0:
            self._buckets.take(category, _identity(caller), -units)

    def _may_be_looked_up(self, address: str, token: str) -> bool:
        is_remembered = self._authenticator.remembers(token)
        return is_remembered or self._second_looks.take(RateCategory.FAILED_AUTH, address).is_granted

    def _take(self, exchange: Exchange, category: RateCategory, whose: str) -> None:
        level = self._buckets.take(category, whose)
        if not level.is_granted:
            self._refuse(exchange, level)
        exchange.limit_headers = self._headers(level)

    def _refuse(self, exchange: Exchange, level: Level) -> NoReturn:
        exchange.limit_headers = self._headers(level)
        self._on_hit(level.category.value)
        raise RateLimited(
            retry_after_seconds=max(1, math.ceil(level.retry_in_seconds)),
            category=level.category.value,
            limit=level.limit,
        )

    def _headers(self, level: Level) -> dict[str, str]:
        full_at = self._clock.now().timestamp() + level.full_in_seconds
        return {
            "X-RateLimit-Limit": str(level.limit),
            "X-RateLimit-Remaining": str(level.remaining),
            "X-RateLimit-Reset": str(math.ceil(full_at)),
        }


def address_of(source_ip: IPv4Address | IPv6Address) -> str:
    """Whose bucket an address is: its own, or its network's where one client has as many as it likes."""
    if isinstance(source_ip, IPv4Address):
        return str(source_ip)
    return f"{IPv6Address(int(source_ip) >> IPV6_HOST_BITS << IPV6_HOST_BITS)}/{IPV6_HOST_BITS}"


def _identity(caller: Caller) -> str:
    """Who it is at home. Another spelling of the same is no other bucket: identity providers differ in case."""
    home = caller.principal.home or caller.principal
    return f"{home.tenant_id}/{home.identity_id.lower()}"
