"""Where an address that a tenant gave us may lead: anywhere public, and inside only where the operator says so."""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from scaivault.outbound.errors import NoDocument

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Public by their number, but clouds' own: Azure's metadata, and a protocol block with Oracle's in it.
_OF_CLOUDS = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
# IPv6 that carries an IPv4 address along, which a gateway on the way may go on to.
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))


class Egress:
    """Decides on addresses and not on names: a name's owner says what it resolves to, and may say another thing next.

    `allowed` networks are open whatever they are; this machine itself too if `loopback_is_allowed`.
    """

    def __init__(self, allowed: Sequence[Network], *, loopback_is_allowed: bool) -> None:
        self._allowed = tuple(allowed)
        self._loopback_is_allowed = loopback_is_allowed

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses to try for this host, in order. NoDocument unless all it resolves to may be gone to."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as failure:
            raise NoDocument from failure
        # Without the zone of a link-local address: it is refused either way.
        addresses = [str(each[4][0]).partition("%")[0] for each in found]
        if not addresses or not all(self.is_open(ip_address(address)) for address in addresses):
            raise NoDocument
        return list(dict.fromkeys(addresses))

    def is_closed_literally(self, host: str) -> bool:
        """Whether a host is an address, and no name, to which connections may not go."""
        try:
            return not self.is_open(ip_address(host.partition("%")[0]))
        except ValueError:
            return False

    def is_open(self, address: Address) -> bool:
        """Whether connections may go there."""
        address = _unwrapped(address)
        if any(address in network for network in self._allowed):
            return True
        if address.is_loopback:
            return self._loopback_is_allowed
        return _is_public(address)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that `::ffff:…` is another spelling of."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _OF_CLOUDS)
    is_carrying = address.sixtofour or address.teredo or any(address in network for network in _TRANSLATED)
    return not is_carrying and not address.is_site_local
