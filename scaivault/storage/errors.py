"""What the database refuses, in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scaivault.kernel.errors import VaultError


class ConstraintViolated(VaultError):
    """A constraint refused the row. Constraint names are API: services turn them into their feature's errors."""

    def __init__(self, constraint: str) -> None:
        super().__init__()
        self.constraint = constraint


@contextmanager
def refusing(refusals: Mapping[str, type[VaultError]]) -> Iterator[None]:
    """Around a transaction: what these constraints refuse is refused in our words."""
    try:
        yield
    except ConstraintViolated as violated:
        if violated.constraint not in refusals:
            raise
        raise refusals[violated.constraint] from violated
