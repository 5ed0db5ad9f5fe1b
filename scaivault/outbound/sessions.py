"""Sessions for libraries that call the operator's own systems by themselves."""

import requests


def plain_session() -> requests.Session:
    """A session for which the environment names no proxies, passwords or certificates."""
    session = requests.Session()
    session.trust_env = False
    return session
