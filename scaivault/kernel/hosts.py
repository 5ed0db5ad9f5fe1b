"""Which hosts are this machine itself."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its very spelling: nobody in between can answer in its place."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
