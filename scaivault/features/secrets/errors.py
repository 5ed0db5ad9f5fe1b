"""This feature's words for failure."""

from scaivault.kernel.errors import Conflict, InvalidRequest, NotFound, VaultError


class SecretNotFound(NotFound):
    """There is no secret at this path."""

    code = "secret_not_found"


class VersionNotFound(NotFound):
    """The secret does not have this version, or no longer."""

    code = "version_not_found"


class VersionConflict(Conflict):
    """The secret is not at the version you expect; read it again and decide anew."""

    code = "version_conflict"


class SecretExists(Conflict):
    """A deleted secret at this path can still be recovered; recover it or delete it permanently first."""

    code = "secret_exists"


class InvalidSecretType(InvalidRequest):
    """The secret type is one of kv, json, certificate, ssh_key, api_key."""

    code = "invalid_secret_type"


class ReassignmentForbidden(VaultError):
    """Somebody else's rotation policy renews the secret; nobody hears this: whoever meets it asks for the leave."""


class SecretUnreadable(VaultError):
    """The stored secret did not open: its row is not what was written."""
