"""The keys of issuers that tenants trust, each fetched once for all of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from scaivault.features.identity.model import Trust
from scaivault.features.identity.service.issuer_keys import Fetcher, IssuerKeys, KeySource
from scaivault.outbound.errors import NoDocument

MOST_ISSUERS = 300


class TrustedIssuers:
    """An issuer's keys by where a stored trust says they are: never by what a token says.

    Two tenants that trust in the same keys share them: they are public. Those longest out of use are forgotten first,
    and fetched again when they are asked for.
    """

    def __init__(
        self, fetcher: Fetcher, monotonic: Callable[[], float], on_failure: Callable[[NoDocument], None]
    ) -> None:
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._on_failure = on_failure
        self._turn = threading.Lock()
        self._known: OrderedDict[tuple[str, str | None], IssuerKeys] = OrderedDict()

    def keys_of(self, trust: Trust) -> IssuerKeys:
        """The keys that vouch for this trust's tokens; nothing is fetched before they are asked for."""
        place = (trust.issuer, trust.jwks_url)
        with self._turn:
            keys = self._known.get(place)
            if keys is None:
                source = KeySource(self._fetcher, trust.issuer, trust.jwks_url)
                keys = self._known[place] = IssuerKeys(source.fetch, self._monotonic, self._on_failure)
            self._known.move_to_end(place)
            if len(self._known) > MOST_ISSUERS:
                self._known.popitem(last=False)
            return keys
