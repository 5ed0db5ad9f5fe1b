"""What a personal access token stands for, as our own table says."""

import hmac
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from scaivault.crypto.tokens import TokenHasher
from scaivault.features.identity import store
from scaivault.features.identity.model import Standing
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs

_FORM = re.compile(r"skt_[A-Za-z0-9_-]{43}", re.ASCII)
MOST_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes = field(repr=False)
    standing: Standing


class PersonalTokens:
    """Tokens of the form `skt_…`, looked up by a keyed hash and remembered under their tenant's epoch."""

    def __init__(
        self,
        database: Database,
        epochs: Epochs,
        hasher: Callable[[], TokenHasher],
        on_cache: Callable[[str], None],
        on_tenant: Callable[[str], None],
    ) -> None:
        """`on_tenant` hears whose tenant's token had to be looked up."""
        self._database = database
        self._epochs = epochs
        self._hasher = hasher
        self._on_cache = on_cache
        self._on_tenant = on_tenant
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._turn = threading.Lock()

    @staticmethod
    def has_form(token: str) -> bool:
        """Whether a text can be one of ours."""
        return _FORM.fullmatch(token) is not None

    def find(self, token: str) -> Standing | None:
        """What a text of the right form stands for, in force or not; None if it is nobody's."""
        digest = self._hasher().digest(token)
        known = self._remembered(digest) or self._load(digest)
        # The index found the digest by an ordinary comparison; this one does not tell where a guess went wrong.
        return known.standing if known is not None and hmac.compare_digest(digest, known.digest) else None

    def recall(self, token: str) -> Standing | None:
        """What a text of the right form is known to stand for, without a look-up."""
        known = self._remembered(self._hasher().digest(token))
        return None if known is None else known.standing

    def _remembered(self, digest: bytes) -> _Known | None:
        with self._turn:
            known = self._known.get(digest)
        # `epoch` was read in the statement that read the token, so an equal or later epoch has seen every
        # revocation that the tenant's present epoch tells of.
        is_current = known is not None and known.standing.epoch >= self._epochs.of(known.standing.principal.tenant_id)
        self._on_cache("hit" if is_current else "miss")
        return known if is_current else None

    def _load(self, digest: bytes) -> _Known | None:
        self._epochs.watch()
        with self._database.session() as session:
            row = store.find_token(session, digest)
        if row is None:
            return None
        known = _Known(row.digest, row.standing())
        self._on_tenant(known.standing.principal.tenant_id)
        with self._turn:
            self._known[digest] = known
            self._known.move_to_end(digest)
            if len(self._known) > MOST_CACHED:
                self._known.popitem(last=False)
        return known
