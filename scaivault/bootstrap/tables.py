"""What the API serves, feature by feature."""

from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from scaivault.bootstrap.base import Base, egress_of, postman_of, renewal_of, writing_of
from scaivault.edge.routes import Routes
from scaivault.features.directory import routes as directory_routes
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.roles import RoleService
from scaivault.features.directory.service.syncs import SyncService
from scaivault.features.events import routes as event_routes
from scaivault.features.events.routes import subscriptions
from scaivault.features.events.service.addresses import Addresses
from scaivault.features.events.service.hooks import Hooks
from scaivault.features.events.service.polling import PollService, stirred
from scaivault.features.events.service.subscription_log import SubscriptionLog
from scaivault.features.events.service.subscriptions import SubscriptionService
from scaivault.features.events.service.trials import TrialService
from scaivault.features.events.service.waiting import WaitingRoom
from scaivault.features.events.service.webhooks import WebhookService
from scaivault.features.generators import routes as generator_routes
from scaivault.features.generators.errors import SecretPolicyNotFound
from scaivault.features.generators.service.generation import GenerationService
from scaivault.features.generators.service.policies import SecretPolicyService
from scaivault.features.identity import routes as identity_routes
from scaivault.features.identity.service.exchange import ExchangeService
from scaivault.features.identity.service.tenancy import Tenancy
from scaivault.features.identity.service.tokens import TokenService
from scaivault.features.identity.service.trusted_issuers import TrustedIssuers
from scaivault.features.identity.service.trusts import TrustService
from scaivault.features.policies.service.shared import SharedGuard
from scaivault.features.rotation import routes as rotation_routes
from scaivault.features.rotation.errors import RotationPolicyNotFound
from scaivault.features.rotation.service.mentions import PolicyMentions
from scaivault.features.rotation.service.policies import RotationPolicyService
from scaivault.features.rotation.service.rotations import RotationService
from scaivault.features.rotation.service.upkeep import Upkeep
from scaivault.features.secrets import routes as secret_routes
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.listing import ListService
from scaivault.features.secrets.service.secrets import SecretService
from scaivault.features.secrets.service.trash import TrashService
from scaivault.kernel.ports import Guard
from scaivault.kernel.redacted import Redacted
from scaivault.outbound.http import DocumentFetcher
from scaivault.settings import Settings
from scaivault.storage.epochs import await_heard

# What naming a policy that is not there meets, of those features that the secrets do not know.
POLICIES_NAMED = (RotationPolicyNotFound, SecretPolicyNotFound)


def secrets_tables(base: Base, notes: AccessNotes) -> Sequence[Routes]:
    """A tenant's own secrets, those that its partner shares, and what renews the former."""
    return (
        _secrets(base, base.guard, notes),
        _rotation(base),
        secret_routes.shared(_secrets(base, SharedGuard(base.guard), notes)),
    )


def _secrets(base: Base, guard: Guard, notes: AccessNotes) -> Routes:
    secrets = SecretService(
        base.database,
        guard,
        base.journal,
        base.outbox,
        base.clock,
        notes,
        base.instruments.secret_read,
        writing_of(base),
    )
    trash = TrashService(guard, base.journal, base.outbox, base.clock)
    listing = ListService(base.database, guard, base.journal, base.clock)
    batch = BatchService(secrets, listing, guard)
    return secret_routes.routes(secrets, trash, listing, batch, base.cursors, base.clock, POLICIES_NAMED)


def _rotation(base: Base) -> Routes:
    secrets = renewal_of(base)
    policies = RotationPolicyService(
        base.database, base.journal, base.guard, base.clock, secrets, Upkeep(base.database, base.clock)
    )
    rotations = RotationService(
        base.database,
        base.journal,
        base.guard,
        base.clock,
        secrets,
        GenerationService(base.database, base.clock),
        base.instruments.secret_rotation,
    )
    return rotation_routes.routes(policies, rotations, base.cursors)


def generators_table(base: Base) -> Routes:
    return generator_routes.routes(
        SecretPolicyService(
            base.database,
            base.journal,
            base.guard,
            base.clock,
            on_change=Upkeep(base.database, base.clock).try_again,
        ),
        base.cursors,
    )


def identity_table(settings: Settings, base: Base, tokens: TokenService, monotonic: Callable[[], float]) -> Routes:
    egress = egress_of(settings)
    trusts = TrustService(
        base.database,
        base.journal,
        base.guard,
        base.clock,
        plain_http_is_allowed=settings.development,
        is_closed=egress.is_closed_literally,
    )
    issuers = TrustedIssuers(
        DocumentFetcher(plain_http_is_allowed=settings.development, egress=egress, on_call=base.listeners.outbound),
        monotonic,
        partial(base.log, "warn", "trusted_keys_not_fetched"),
    )
    log = partial(base.log, "warn", "exchange_refused", None)
    exchange = ExchangeService(base.database, base.journal, issuers, base.hasher, base.clock, log)
    return identity_routes.routes(tokens, trusts, exchange, base.cursors)


def directory_table(settings: Settings, base: Base, tenancy: Tenancy, syncs: SyncService) -> Routes:
    secret = settings.scaikey_webhook_secret
    return directory_routes.routes(
        BrowseService(base.database, base.guard, tenancy),
        RoleService(base.database, base.journal, base.guard),
        EventService(base.database, base.journal, base.clock),
        EventSignature(Redacted(secret.get_secret_value().encode()) if secret else None, base.clock),
        syncs,
    )


def events_tables(settings: Settings, base: Base, room: WaitingRoom) -> Sequence[Routes]:
    """Webhooks and subscriptions: who is told, and who asks."""
    addresses, hooks = (
        Addresses(
            egress_of(settings),
            plain_http_is_allowed=settings.development,
            own_host=None if settings.development else urlsplit(settings.base_url).hostname,
        ),
        Hooks(base.webhook_secrets),
    )
    database, journal, guard, clock = base.database, base.journal, base.guard, base.clock
    return (
        event_routes.routes(
            WebhookService(
                database, journal, guard, clock, hooks, addresses, PolicyMentions(journal, clock), await_heard
            ),
            TrialService(database, journal, guard, clock, base.webhook_secrets, postman_of(settings, base)),
            base.cursors,
        ),
        subscriptions.routes(
            SubscriptionService(database, journal, guard, clock, hooks, addresses, await_heard),
            SubscriptionLog(database, journal, guard, clock),
            PollService(database, journal, guard, guard, clock, room),
            base.cursors,
        ),
    )


def waiting_room(base: Base) -> WaitingRoom:
    """Where requests wait for events."""
    return WaitingRoom(partial(stirred, base.database), partial(base.instruments.set_waiting, "subscriptions"))
