"""Where a request comes from: its id, its trace, and the address we believe."""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from scaivault.kernel.caller import Origin
from scaivault.kernel.ids import new_id

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", re.ASCII)
_HOP_WITH_PORT = re.compile(
    r"(?P<v4>[0-9.]{7,15}):[0-9]{1,5}|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?", re.ASCII
)
_NOBODY = IPv4Address(0)
_NO_TRACE = "0" * 32
MAX_USER_AGENT = 256
MAX_FORWARDED_HOPS = 32


class Origins:
    """Reads origins. `trusted_proxies` are the only peers whose X-Forwarded-For is looked at."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def read(
        self, peer: str, forwarded_for: str, request_id: str | None, traceparent: str | None, user_agent: str
    ) -> Origin:
        """The origin by the socket's peer address and four header values."""
        identifier = request_id if request_id and _REQUEST_ID.fullmatch(request_id) else None
        return Origin(
            source_ip=self.client_address(peer, forwarded_for),
            user_agent=user_agent[:MAX_USER_AGENT],
            request_id=identifier or new_id("req"),
            trace_id=trace_id(traceparent, identifier),
            started=time.perf_counter(),
        )

    def client_address(self, peer: str, forwarded_for: str) -> Address:
        """The nearest address that is not a trusted proxy's, walking X-Forwarded-For from the right.

        A hop that is no address is nobody's: `0.0.0.0`, which no rule about a network of somebody's lets in. The proxy
        that wrote it is not the client, and nothing left of it can be believed.
        """
        address = _address(peer) or _NOBODY
        hops = forwarded_for.split(",")[-MAX_FORWARDED_HOPS:] if forwarded_for else []
        for hop in reversed(hops):
            if not self._is_trusted(address):
                break
            address = _address(_without_port(hop.strip())) or _NOBODY
        return address

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def trace_id(traceparent: str | None, request_id: str | None) -> str:
    """A valid traceparent's trace, else the client's request id as one, else a random one (monitoring §5)."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match and match[1] != _NO_TRACE and match[2] != "0" * 16:
        return match[1]
    if request_id is None:
        return os.urandom(16).hex()
    plain = request_id.replace("-", "").lower()
    if _TRACE_ID.fullmatch(plain) and plain != _NO_TRACE:
        return plain
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]


def _without_port(hop: str) -> str:
    """Some proxies write `10.1.1.1:4444` and `[2001:db8::1]:4444`."""
    match = _HOP_WITH_PORT.fullmatch(hop)
    return (match["v4"] or match["v6"]) if match else hop


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # One client, one address: ::ffff:10.0.0.1 must not slip past a rule about 10.0.0.0/8.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
