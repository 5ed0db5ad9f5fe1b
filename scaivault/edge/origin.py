"""Where a request comes from: its id, its trace, and the address we believe."""

import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from scaivault.kernel.caller import Origin
from scaivault.kernel.ids import new_id

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_TRACE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_HOP_WITH_PORT = re.compile(
    r"(?P<v4>[0-9.]{7,15}):[0-9]{1,5}|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?", re.ASCII
)
_NOBODY = IPv4Address(0)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 0x01
MAX_USER_AGENT = 256
MAX_FORWARDED_HOPS = 32


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace that a request belongs to; of who continues his own also the span it was sent from, and its flag."""

    trace_id: str
    parent_id: str | None = None
    is_sampled: bool | None = None


class Origins:
    """Reads origins. `trusted_proxies` are the only peers whose X-Forwarded-For is looked at."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def read(
        self,
        peer: str,
        forwarded_for: str,
        request_id: str | None,
        traceparent: str | None,
        user_agent: str,
        trace_id: str | None = None,
    ) -> Origin:
        """The origin by the socket's peer address and four header values; `trace_id` if the trace has been read."""
        return Origin(
            source_ip=self.client_address(peer, forwarded_for),
            user_agent=user_agent[:MAX_USER_AGENT],
            request_id=_plain(request_id) or new_id("req"),
            trace_id=trace_id or trace_of(traceparent, request_id).trace_id,
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


def trace_of(traceparent: str | None, request_id: str | None) -> Trace:
    """A valid traceparent's trace, else the client's request id as one, else a random one (monitoring §5)."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match and match[1] != _NO_TRACE and match[2] != _NO_SPAN:
        return Trace(match[1], match[2], bool(int(match[3], 16) & _SAMPLED))
    identifier = _plain(request_id)
    if identifier is None:
        return Trace(os.urandom(16).hex())
    bare = identifier.replace("-", "").lower()
    if _TRACE_ID.fullmatch(bare) and bare != _NO_TRACE:
        return Trace(bare)
    return Trace(hashlib.sha256(identifier.encode()).hexdigest()[:32])


def _plain(request_id: str | None) -> str | None:
    """A client's request id if it is fit to be echoed and logged."""
    return request_id if request_id and _REQUEST_ID.fullmatch(request_id) else None


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
