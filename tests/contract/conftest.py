"""The tests of the contract ask one standing house."""

import pytest

from tests.contract.standing import ada, bob, house, pat, room, standing

__all__ = ["ada", "bob", "house", "pat", "room", "standing"]


@pytest.fixture(autouse=True)
def alone(heard_soon):
    """No other process serves it: nobody waits for others to hear of something."""
