"""What every feature stands on: database, keys, journal, outbox, guard; and where requests to others may lead."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from scaivault.crypto.cursors import CursorSigner
from scaivault.crypto.envelope import Envelope
from scaivault.crypto.keyring import KeyRing
from scaivault.crypto.kms.providers import key_service
from scaivault.crypto.kms.succession import Succession
from scaivault.crypto.kms.timed import TimedKeys
from scaivault.crypto.rotation import KeyRotation
from scaivault.crypto.store import RotatingKeys
from scaivault.crypto.tokens import TokenHasher
from scaivault.edge.context import Log
from scaivault.edge.pages import Cursors
from scaivault.features.audit.service import AuditJournal
from scaivault.features.events.service.data_keys import webhook_data_keys
from scaivault.features.events.service.outbox import EventOutbox
from scaivault.features.events.service.postman import Postman
from scaivault.features.events.service.secrets import WebhookSecrets
from scaivault.features.policies.service.guard import PolicyGuard
from scaivault.features.rotation.service.schedule import Schedules
from scaivault.features.secrets.service.data_keys import secret_data_keys
from scaivault.features.secrets.service.renewing import RenewalService
from scaivault.features.secrets.service.writing import Writing
from scaivault.kernel.calls import Listeners, OnCall
from scaivault.kernel.ports import Clock, KeyService
from scaivault.observability import logs
from scaivault.observability.catalogue.vocabulary import API
from scaivault.observability.instruments import Instruments
from scaivault.outbound.egress import Egress
from scaivault.outbound.posts import Poster
from scaivault.settings import Settings
from scaivault.storage.database import Database
from scaivault.storage.epochs import Epochs

if TYPE_CHECKING:
    from scaivault.observability.traces.tracing import Tracing

VERSION = installed_version("scaivault")
REVISION = "unknown"
MOST_TENANT_KEYS = 10_000


@dataclass(frozen=True)
class Base:
    """What every feature stands on."""

    listeners: Listeners
    instruments: Instruments
    log: Log
    clock: Clock
    database: Database
    aside: Database
    epochs: Epochs
    kms: KeyService
    ring: KeyRing
    rotation: KeyRotation
    journal: AuditJournal
    outbox: EventOutbox
    guard: PolicyGuard
    webhook_secrets: WebhookSecrets

    def job_failed(self, job: str, failure: Exception) -> None:
        self.log("warn", "upkeep_failed", failure, job=job)

    @cached_property
    def hasher(self) -> Callable[[], TokenHasher]:
        return cache(lambda: TokenHasher(self.ring.system_key("tokens")))

    @cached_property
    def cursors(self) -> Cursors:
        return Cursors(cache(lambda: CursorSigner(self.ring.system_key("cursors"))))


def base_of(settings: Settings, clock: Clock, kms: KeyService, listeners: Listeners, kind: str = API) -> Base:
    """The ground of a process of this kind; nothing is connected yet."""
    instruments = Instruments(version=VERSION, revision=REVISION, kind=kind)
    url = settings.database_url.get_secret_value()
    database = Database(url, settings.database_pool_size, instruments.observe_db, listeners.database)
    epochs = Epochs(database)
    on_kms = listeners.kms
    roots = Succession(_timed(kms, instruments, on_kms), _previous_kms(settings, instruments, on_kms))
    journal = AuditJournal(database, clock, instruments.observe_audit)
    outbox = EventOutbox(database, epochs, clock)
    keys = RotatingKeys(database, journal)
    ring = KeyRing(
        keys,
        roots.active,
        previous_kms=roots.previous,
        epoch_of=epochs.of,
        seconds_to_keep=settings.key_cache_seconds,
        most_tenants=MOST_TENANT_KEYS,
        on_cache=partial(instruments.cache_request, "tenant_key"),
    )
    return Base(
        listeners=listeners,
        instruments=instruments,
        log=logs.logger("scaivault.request"),
        clock=clock,
        database=database,
        # For questions about health, which must not wait for requests nor they for it.
        aside=Database(url, 1, instruments.observe_db, kept=0),
        epochs=epochs,
        kms=roots.active,
        ring=ring,
        rotation=KeyRotation(keys, ring, roots, [secret_data_keys(database), webhook_data_keys(database)], clock),
        journal=journal,
        outbox=outbox,
        webhook_secrets=WebhookSecrets(database, Envelope(ring)),
        guard=PolicyGuard(
            database,
            journal,
            outbox,
            epochs,
            clock,
            instruments.policy_violation,
            partial(instruments.cache_request, "policy"),
        ),
    )


def listeners_of(tracing: "Tracing | None") -> Listeners:
    """Who hears of calls to the database, Redis, the key service and other systems: tracing, or nobody."""
    if tracing is None:
        return Listeners()
    return Listeners(tracing.database, tracing.redis, tracing.kms, tracing.outbound, tracing.work)


def root_key_service(settings: Settings) -> KeyService:
    """The service that holds the root key."""
    return key_service(settings.root_key, development=settings.development)


def _previous_kms(settings: Settings, instruments: Instruments, on_call: OnCall) -> KeyService | None:
    """The service of the root key that is being replaced, while there is one."""
    if settings.previous_root_key is None:
        return None
    previous = key_service(settings.previous_root_key, development=settings.development)
    return _timed(previous, instruments, on_call)


def _timed(kms: KeyService, instruments: Instruments, on_call: OnCall) -> KeyService:
    return TimedKeys(kms, instruments.observe_kms, instruments.kms_failed, on_call)


def egress_of(settings: Settings) -> Egress:
    """Where addresses that tenants give may lead."""
    return Egress(settings.egress_allow, loopback_is_allowed=settings.development)


def postman_of(settings: Settings, base: Base) -> Postman:
    return Postman(Poster(egress_of(settings), plain_http_is_allowed=settings.development), base.clock)


def writing_of(base: Base) -> Writing:
    """What writes to secrets, in whoever's name."""
    instruments = base.instruments
    return Writing(
        Envelope(base.ring),
        base.outbox,
        base.clock,
        Schedules(base.outbox, base.clock),
        instruments.secret_write,
        instruments.secret_rotation,
    )


def renewal_of(base: Base) -> RenewalService:
    """What rotation writes by."""
    return RenewalService(base.database, base.journal, base.outbox, base.clock, writing_of(base))
