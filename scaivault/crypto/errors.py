"""What can go wrong with keys and ciphertext. No message says anything about content."""

from scaivault.kernel.errors import Unavailable, VaultError


class TamperedCiphertext(VaultError):
    """A sealed value is not what the vault sealed for this place."""


class UnknownKeyVersion(TamperedCiphertext):
    """A sealed value names a key version that is not in this key ring."""


class KeyServiceAway(Unavailable):
    """The key service does not answer; try again shortly."""

    # The one kind of failure that asking again may mend. A service that answers with a refusal (a disabled key, a
    # missing permission, a wrong PIN) is a plain Unavailable, and is not asked again for the same operation.


class UnsafeKeyFile(VaultError):
    """The key file must not be used as it is."""


class RetiredKeyVersion(VaultError):
    """A key was to be stored under a version of another key that has been removed since it was read."""
