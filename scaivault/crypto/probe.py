"""Whether the vault can encrypt and decrypt, from the KMS down to a value."""

import math
import os
import time
from collections.abc import Callable

from scaivault.crypto import chain
from scaivault.crypto.envelope import Envelope, Place
from scaivault.crypto.keys import Key, TenantKeys
from scaivault.kernel.errors import Unavailable
from scaivault.kernel.plaintext import Plaintext
from scaivault.kernel.ports import KeyService, KeyState

WRAP_SECONDS = 5.0
STATE_SECONDS = 30.0
_CONTEXT = b"scaivault readiness"
_PLACE = Place("ptn_readiness", "tnt_readiness", "readiness", 1)


class KeyProbe:
    """The whole chain: a partner key out of the KMS, a tenant key out of that, a value through the envelope under it.

    For one thread at a time. The keys are the probe's own: what a tenant has is not touched, nor its cache warmed.

    Every check opens; one in five seconds wraps. A cloud bills every call, and a root key that takes random nonces
    should not spend them on health: a wrap a second from each of a hundred workers would reach the 2^32 of aead.py in
    500 days, this takes nearly seven years. As often it is made sure that the root key is the installation's own:
    another one wraps and opens as well, but nothing that is stored.
    """

    def __init__(
        self,
        kms: KeyService,
        envelope: Envelope,
        check_root: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kms = kms
        self._envelope = envelope
        self._check_root = check_root
        self._monotonic = monotonic
        self._partner_key, self._tenant_key = Key.fresh(), Key.fresh()
        self._tenant_row = self._wrap_tenant_key()
        self._wrapped = b""
        self._wrap_at = -math.inf
        self._ask_at = -math.inf
        self._state = KeyState.UNAVAILABLE

    @property
    def state(self) -> KeyState:
        """What the service said of its key when last asked: half a minute ago at most, and after every bad check."""
        return self._state

    def check(self) -> None:
        """Return if what went in came out. Unavailable if the KMS can not, or if it answers something else."""
        well = False
        try:
            self._round_trip()
            well = True
        finally:
            # A bad state is asked for until it is a good one again, lest recovery be told late.
            if not well or self._state is not KeyState.ACTIVE or self._monotonic() >= self._ask_at:
                self._state = self._kms.state()
                self._ask_at = self._monotonic() + STATE_SECONDS

    def _round_trip(self) -> None:
        if self._monotonic() >= self._wrap_at:
            self._check_root()
            self._wrapped = self._kms.encrypt(self._partner_key.reveal(), _CONTEXT)
            self._tenant_row = self._wrap_tenant_key()
            self._wrap_at = self._monotonic() + WRAP_SECONDS
        partner_key = Key(self._kms.decrypt(self._wrapped, _CONTEXT))
        if partner_key != self._partner_key:
            raise Unavailable("The key service does not return what it was given.")
        tenant_key = chain.open_by_partner({1: partner_key}, _PLACE.partner_id, _PLACE.tenant_id, self._tenant_row)
        keys = TenantKeys(_PLACE.partner_id, _PLACE.tenant_id, {1: tenant_key})
        content = Plaintext(os.urandom(32))
        came_back = self._envelope.open(keys, _PLACE, self._envelope.seal(keys, _PLACE, content))
        if came_back != content or tenant_key != self._tenant_key:
            raise Unavailable("What was sealed does not come back.")

    def _wrap_tenant_key(self) -> chain.WrappedKey:
        partner_keys = {1: self._partner_key}
        return chain.wrap_by_partner(partner_keys, _PLACE.partner_id, _PLACE.tenant_id, 1, self._tenant_key)
