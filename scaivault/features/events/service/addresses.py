"""Which addresses a webhook may have. Where they lead to is decided at each delivery: a name's owner may change it."""

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from scaivault.features.events.errors import InvalidWebhook
from scaivault.outbound.egress import Address, Egress

_FORM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff@#\\]+")


class Addresses:
    """Checks the form of an address, and the host where it is spelled as a number, in any of the notations."""

    def __init__(self, egress: Egress, *, plain_http_is_allowed: bool) -> None:
        self._egress = egress
        self._schemes = {"https", "http"} if plain_http_is_allowed else {"https"}

    def check(self, url: str) -> None:
        """Return if deliveries could go there, else InvalidWebhook."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            is_sound = parts.scheme in self._schemes and bool(host) and parts.port != 0
        except ValueError:
            raise InvalidWebhook from None
        # The text and not its parts: the parser drops line breaks and tabs.
        if not is_sound or _FORM.fullmatch(url) is None:
            raise InvalidWebhook
        address = _numeric(host)
        if address is not None and not self._egress.is_open(address):
            raise InvalidWebhook


def host_of(url: str) -> str:
    """The host of an address that was checked, and its port where it names one. The rest may have a token in it."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _numeric(host: str) -> Address | None:
    """The address that a host spells: dotted, or as `2130706433`, `0x7f.1`, `0177.1`, which resolvers take too."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ip_address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
