"""One standing house, and one real gunicorn over the same servers, for all tests of this folder."""

import pytest

from tests.contract.standing import ada, bob, house, pat, room, standing
from tests.security.wire import serving

__all__ = ["ada", "bob", "house", "pat", "room", "standing", "vault"]

TRUSTED = "127.0.0.2"
UNTRUSTED = "127.0.0.1"


@pytest.fixture(scope="session")
def vault(standing, tmp_path_factory):
    """gunicorn on a socket; who connects from 127.0.0.2 is a trusted proxy, and so are 10.1.0.0/16 behind it."""
    folder = tmp_path_factory.mktemp("vault")
    proxies = f"{TRUSTED}/32,10.1.0.0/16,2001:db8:1::/48"
    with serving(standing.house, standing.ada.token, folder, TRUSTED_PROXIES=proxies) as started:
        yield started
