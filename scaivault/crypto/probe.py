"""Whether the vault can encrypt and decrypt, from the KMS down to a value."""

import os

from scaivault.crypto.envelope import Envelope, Place
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import KeyService

_CONTEXT = b"scaivault readiness"
_PLACE = Place("ptn_readiness", "tnt_readiness", "readiness", 1)


class KeyProbe:
    """A fresh key through the KMS and back, and a value through the envelope under it."""

    def __init__(self, kms: KeyService, envelope: Envelope) -> None:
        self._kms = kms
        self._envelope = envelope

    def check(self) -> None:
        """Return if what went in came out. Unavailable if the KMS can not, or if it answers something else."""
        fresh = os.urandom(32)
        opened = self._kms.decrypt(self._kms.encrypt(fresh, _CONTEXT), _CONTEXT)
        keys = TenantKeys(_PLACE.partner_id, _PLACE.tenant_id, {1: Key(opened)})
        canary = Plaintext(fresh)
        if self._envelope.open(keys, _PLACE, self._envelope.seal(keys, _PLACE, canary)) != canary or opened != fresh:
            raise Unavailable("The key service does not return what it was given.")
