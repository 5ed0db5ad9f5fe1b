"""How the root key is."""

from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import Metric

from scaivault.kernel.ports import KeyService, KeyState
from scaivault.observability.catalogue.dependencies import KMS_KEY_LAST_ROTATION, KMS_KEY_USABLE
from scaivault.observability.exposition import gauge
from scaivault.storage.database import Session


@dataclass(frozen=True, slots=True)
class _Rotated:
    at: datetime | None


def root_key(kms: KeyService, session: Session) -> list[Metric]:
    """Whether its service says that it may be used, and when everything came under it."""
    is_usable = kms.state() is KeyState.ACTIVE
    rotated = session.one(_Rotated, "SELECT max(finished_at) AS at FROM key_rotations WHERE kind = 'root'")
    last = rotated.at.timestamp() if rotated is not None and rotated.at is not None else 0.0
    return [gauge(KMS_KEY_USABLE, [((), float(is_usable))]), gauge(KMS_KEY_LAST_ROTATION, [((), last)])]
