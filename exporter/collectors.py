"""What the exporter looks at: a line for each feature that has a `stats.py`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client.core import Metric
from redis import Redis

from exporter.snapshot import Collector
from scaivault.crypto import stats as crypto
from scaivault.features.audit import stats as audit
from scaivault.features.events import stats as events
from scaivault.features.rotation import stats as rotation
from scaivault.features.secrets import stats as secrets
from scaivault.kernel.ports import KeyService
from scaivault.ratelimit import stats as limits
from scaivault.storage.database import Session
from scaivault.storage.reading import Reading
from scaivault.workers import stats as workers


@dataclass(frozen=True)
class Sources:
    """Where state is. `reading` makes a connection for each collector of its own: one that hangs delays no other."""

    reading: Callable[[], Reading]
    redis: Redis
    kms: KeyService
    workers_expected: int


def collectors(sources: Sources) -> Sequence[Collector]:
    """All of them, each under a name of the catalogue's COLLECTORS."""
    readers = audit.TopReaders()

    def kms(session: Session) -> Iterable[Metric]:
        return crypto.root_key(sources.kms, session)

    return (
        Collector("secrets", _with_session(sources, secrets.live_secrets)),
        Collector("readers", _with_session(sources, readers.look)),
        Collector("kms", _with_session(sources, kms)),
        Collector("webhooks", _with_session(sources, events.collect)),
        Collector("rotation", _with_session(sources, rotation.collect)),
        Collector("workers", _with_session(sources, partial(workers.collect, expected=sources.workers_expected))),
        Collector("limits", partial(limits.bucket_fill, sources.redis)),
    )


def _with_session(sources: Sources, look: Callable[[Session], Iterable[Metric]]) -> Callable[[], Iterable[Metric]]:
    reading = sources.reading()

    def over_a_session() -> Iterable[Metric]:
        with reading.session() as session:
            return look(session)

    return over_a_session
