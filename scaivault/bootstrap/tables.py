"""What the API serves, feature by feature."""

from collections.abc import Callable, Sequence
from functools import partial

from scaivault.bootstrap.base import Base, egress_of, postman_of, secret_service
from scaivault.edge.routes import Routes
from scaivault.features.directory import routes as directory_routes
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.roles import RoleService
from scaivault.features.directory.service.syncs import SyncService
from scaivault.features.events import routes as event_routes
from scaivault.features.events.service.addresses import Addresses
from scaivault.features.events.service.trials import TrialService
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
from scaivault.features.rotation.service.policies import RotationPolicyService
from scaivault.features.rotation.service.rotations import RotationService
from scaivault.features.rotation.service.upkeep import Upkeep
from scaivault.features.secrets import routes as secret_routes
from scaivault.features.secrets.service.access import AccessNotes
from scaivault.features.secrets.service.batch import BatchService
from scaivault.features.secrets.service.listing import ListService
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
        _rotation(base, notes),
        secret_routes.shared(_secrets(base, SharedGuard(base.guard), notes)),
    )


def _secrets(base: Base, guard: Guard, notes: AccessNotes) -> Routes:
    secrets = secret_service(base, guard, notes)
    trash = TrashService(guard, base.journal, base.outbox, base.clock)
    listing = ListService(base.database, guard, base.journal, base.clock)
    batch = BatchService(secrets, listing, guard)
    return secret_routes.routes(secrets, trash, listing, batch, base.cursors, base.clock, POLICIES_NAMED)


def _rotation(base: Base, notes: AccessNotes) -> Routes:
    secrets = secret_service(base, base.guard, notes)
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
        SecretPolicyService(base.database, base.journal, base.guard, base.clock), base.cursors
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


def webhooks_table(settings: Settings, base: Base) -> Routes:
    addresses = Addresses(egress_of(settings), plain_http_is_allowed=settings.development)
    database, journal, guard, clock, secrets = (
        base.database,
        base.journal,
        base.guard,
        base.clock,
        base.webhook_secrets,
    )
    return event_routes.routes(
        WebhookService(database, journal, guard, clock, secrets, addresses, await_heard),
        TrialService(database, journal, guard, clock, secrets, postman_of(settings, base)),
        base.cursors,
    )
