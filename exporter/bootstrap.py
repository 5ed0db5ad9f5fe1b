"""The exporter's switchboard: settings in, an exporter out."""

import threading
from collections.abc import Callable, Sequence
from functools import partial

from exporter.collectors import Sources, collectors
from exporter.itself import VERSION, Itself
from exporter.leader import LOCK, SILENCE_SECONDS, Leadership
from exporter.publication import Publisher
from exporter.server import Pages
from exporter.settings import ExporterSettings
from exporter.snapshot import Collector, Watch
from scaivault.crypto.kms.providers import key_service
from scaivault.observability import logs
from scaivault.observability.listener import InternalListener
from scaivault.storage.blackboard import Blackboard, client
from scaivault.storage.reading import Reading
from scaivault.storage.session_lock import SessionLock

REDIS_SECONDS = 1.0
ONCE = 1  # the only term there is, whoever leads


class Exporter:
    """Looks and tells from `open` to `close`."""

    def __init__(self, settings: ExporterSettings, looks: Sequence[Collector], itself: Itself) -> None:
        self._address = settings.address
        self._log = logs.logger("scaivault.exporter")
        lock = SessionLock(settings.database_url, LOCK, SILENCE_SECONDS)
        self._leadership = Leadership(lock, self._led)
        term = self._leadership.term
        self._watches = [
            Watch(look, settings.interval_seconds, term, self._seen, partial(_told, self._log)) for look in looks
        ]
        board = Blackboard(settings.redis_url, REDIS_SECONDS, itself.redis.observe)
        self._publisher = Publisher(board, self._watches, term, partial(_told, self._log))
        pages = Pages(itself, self._watches, term, self.stuck, leads=lambda: term() is not None)
        address = (self._address.host, self._address.port)
        self._listener = InternalListener(address, pages.table(), is_shared=False)

    def open(self) -> None:
        """OSError if the address is taken."""
        self._listener.open()
        for watch in self._watches:
            watch.open()
        self._publisher.open()
        self._leadership.open()
        self._log("info", "exporter_started", address=str(self._address), version=VERSION)

    def close(self) -> None:
        """Whoever hangs is left to the end of the process."""
        self._log("info", "exporter_stopping")
        for watch in self._watches:
            watch.close()
        self._leadership.close()
        self._listener.close()
        self._log("info", "exporter_stopped")

    def stuck(self) -> Sequence[str]:
        """The threads that make no progress, by name."""
        stuck = [watch.collector.name for watch in self._watches if watch.is_stuck()]
        return [*stuck, "leader"] if self._leadership.is_stuck() else stuck

    def _led(self, leads: bool) -> None:
        self._log("info", "leading" if leads else "not_leading")
        if leads:
            for watch in self._watches:
                watch.wake()

    def _seen(self) -> None:
        self._publisher.wake()


def build(settings: ExporterSettings) -> Exporter:
    itself = Itself()
    return Exporter(settings, _looks(settings, itself), itself)


def look_once(settings: ExporterSettings) -> tuple[bytes, Sequence[str]]:
    """What there is to tell, after one look of each collector, all at the same time; and whose did not succeed."""
    itself = Itself()
    failed = partial(_told, logs.logger("scaivault.exporter"))
    watches = [
        Watch(look, settings.interval_seconds, lambda: ONCE, lambda: None, failed) for look in _looks(settings, itself)
    ]
    threads = [threading.Thread(target=watch.look, args=(ONCE,), daemon=True) for watch in watches]
    for thread in threads:
        thread.start()
    for thread, watch in zip(threads, watches, strict=True):
        thread.join(watch.collector.deadline_seconds)
    pages = Pages(itself, watches, lambda: ONCE, list, leads=lambda: False)
    return pages.metrics("").body, [watch.collector.name for watch in watches if not watch.is_up(ONCE)]


def _looks(settings: ExporterSettings, itself: Itself) -> Sequence[Collector]:
    reading: Callable[[], Reading] = partial(Reading, settings.database_url, itself.database.observe)
    redis = client(settings.redis_url, REDIS_SECONDS)
    kms = key_service(settings.root_key, development=settings.development)
    return collectors(Sources(reading, redis, kms, settings.workers_expected))


def _told(log: logs.EventLog, name: str, failure: Exception | None) -> None:
    log("warn", "look_failed" if failure else "look_too_slow", failure, job=name)
