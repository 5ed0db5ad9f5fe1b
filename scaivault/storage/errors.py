"""What the database refuses, in our words."""

from scaivault.kernel.errors import VaultError


class ConstraintViolated(VaultError):
    """A constraint refused the row. Constraint names are API: services turn them into their feature's errors."""

    def __init__(self, constraint: str) -> None:
        super().__init__()
        self.constraint = constraint
