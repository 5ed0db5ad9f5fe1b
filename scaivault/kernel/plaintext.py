"""What the vault keeps, while it is open."""

from scaivault.kernel.redacted import Redacted


class Plaintext(Redacted):
    """A secret's content in clear, for as long as one request needs it."""

    __slots__ = ()
