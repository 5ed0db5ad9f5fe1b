"""The tests of the contract ask one standing house."""

from tests.contract.standing import ada, bob, house, pat, room, standing

__all__ = ["ada", "bob", "house", "pat", "room", "standing"]
