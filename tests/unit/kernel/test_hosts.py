"""Loopback by spelling: a name that only resolves to it is somebody's to change."""

import pytest

from scaivault.kernel.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.nip.io", "2130706433", "127.1"]
)
def test_any_other(host):
    assert not is_loopback(host)
