"""What can go wrong on the way to another system. No message says where to or what came back."""

from scaivault.kernel.errors import Unavailable


class NoDocument(Unavailable):
    """Another system did not give the document that was asked for."""


class NothingThere(NoDocument):
    """Another system says that there is no such document."""
