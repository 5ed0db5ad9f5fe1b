"""Which addresses a webhook may have. Where they lead to is decided at each delivery: a name's owner may change it."""

import re
import socket
from ipaddress import IPv4Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from scaivault.features.events.errors import InvalidWebhook
from scaivault.outbound.egress import Address, Egress

_UNSAID = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\]")
# This machine on every machine (RFC 6761), or by the usual list of hosts.
_THIS_MACHINE = re.compile(r"(?:.+\.)?localhost|localhost\.localdomain|ip6-(?:localhost|loopback)")
_LOOPBACK: Final = IPv4Address("127.0.0.1")


class Addresses:
    """Checks the form of an address, and a host that is forbidden by its spelling alone, in any of the notations.

    `own_host` is where the vault itself is found, which tells nothing to itself.
    """

    def __init__(self, egress: Egress, *, plain_http_is_allowed: bool, own_host: str | None = None) -> None:
        self._egress = egress
        self._schemes = ("https", "http") if plain_http_is_allowed else ("https",)
        self._own_host = own_host

    def check(self, url: str) -> None:
        """Return if deliveries could go there, else InvalidWebhook: it names the fault, and nothing of the address."""
        # The text and not its parts: the parser drops line breaks and tabs.
        if _UNSAID.search(url):
            raise _fault("no spaces, backslashes, control characters and letters beyond ASCII")
        parts = _parts(url)
        if parts.scheme not in self._schemes:
            raise _fault(f"an address that begins with {' or '.join(f'{scheme}://' for scheme in self._schemes)}")
        if "@" in url:
            raise _fault("no user and no password; elsewhere write @ as %40")
        if "#" in url:
            raise _fault("no fragment, which is never sent")
        self._check_host(parts.hostname or "")

    def _check_host(self, spelled: str) -> None:
        host = spelled.removesuffix(".")
        if not host:
            raise _fault("an address with a host")
        address = _numeric(host)
        if address is not None:
            is_open = self._egress.is_open(address)
        elif _THIS_MACHINE.fullmatch(host):
            is_open = self._egress.is_open(_LOOPBACK)
        else:
            is_open = host != self._own_host
        if not is_open:
            raise _fault("a host outside: deliveries do not go to this one")
        if "%" in host:
            raise _fault("a host without %, spelled as it is")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_port = parts.port != 0
    except ValueError:
        # Of a port, or of brackets around what is no IPv6 address.
        raise _fault("a host, and a port between 1 and 65535 if one is named") from None
    if not is_port:
        raise _fault("a port between 1 and 65535")
    return parts


def _fault(wanted: str) -> InvalidWebhook:
    return InvalidWebhook(f"The url does not do. Wanted: {wanted}.", fields={"url": wanted})


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
