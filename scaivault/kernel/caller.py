"""Who is asking, and from where."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address


class Scope(StrEnum):
    """What a token may be used for at all; policies decide what it may be used on."""

    ADMIN = "admin"
    AUDIT_EXPORT = "audit:export"
    AUDIT_READ = "audit:read"
    DYNAMIC_MANAGE = "dynamic:manage"
    DYNAMIC_READ = "dynamic:read"
    FEDERATION_READ = "federation:read"
    FEDERATION_WRITE = "federation:write"
    IDENTITY_ADMIN = "identity:admin"
    IDENTITY_READ = "identity:read"
    PKI_ADMIN = "pki:admin"
    PKI_ISSUE = "pki:issue"
    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    SECRETS_DELETE = "secrets:delete"
    SECRETS_LIST = "secrets:list"
    SECRETS_READ = "secrets:read"
    SECRETS_ROTATE = "secrets:rotate"
    SECRETS_WRITE = "secrets:write"
    SUBSCRIPTIONS_READ = "subscriptions:read"
    SUBSCRIPTIONS_WRITE = "subscriptions:write"


class Permission(StrEnum):
    """What a policy rule can grant on a path. `admin` stands for all of the others."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"
    ROTATE = "rotate"
    ADMIN = "admin"


class IdentityType(StrEnum):
    USER = "user"
    SERVICE_ACCOUNT = "service_account"
    GROUP = "group"
    SYSTEM = "system"


class Role(StrEnum):
    TENANT_ADMIN = "tenant_admin"
    PARTNER_ADMIN = "partner_admin"
    SUPER_ADMIN = "super_admin"


# Whoever administers a partner or the installation administers the tenants in it.
_TENANT_ADMINISTRATORS = frozenset({Role.TENANT_ADMIN, Role.PARTNER_ADMIN, Role.SUPER_ADMIN})
_PARTNER_ADMINISTRATORS = frozenset({Role.PARTNER_ADMIN, Role.SUPER_ADMIN})


@dataclass(frozen=True, slots=True)
class Principal:
    """What a token stands for. Cacheable: nothing here belongs to one request.

    `home` is who this is at home, when it acts in another tenant than its own.
    """

    token_id: str
    partner_id: str
    tenant_id: str
    identity_id: str
    identity_type: IdentityType
    display_name: str
    scopes: frozenset[Scope]
    groups: frozenset[str]
    roles: frozenset[Role]
    token_expires_at: datetime
    mfa_verified_at: datetime | None = None
    delegated_by: tuple[str, ...] = ()
    """Who acts in the identity's name, nearest first; empty when it acts itself."""
    user_id: str | None = None
    """The identity provider's id of a user: the same one, whatever he is called."""
    is_session: bool = False
    """Whether a user signed in himself, for a while whose end says nothing of how long he may do what he does."""
    home: "Principal | None" = None

    @property
    def is_tenant_admin(self) -> bool:
        return not self.roles.isdisjoint(_TENANT_ADMINISTRATORS)

    @property
    def is_partner_admin(self) -> bool:
        return not self.roles.isdisjoint(_PARTNER_ADMINISTRATORS)

    @property
    def is_in_shared_space(self) -> bool:
        """Whether this one has come to what its partner's tenants share: a space that has the partner's own id."""
        return self.home is not None and self.tenant_id == self.partner_id

    @classmethod
    def of_system(
        cls, identity_id: str, display_name: str, partner_id: str, tenant_id: str, at: datetime
    ) -> "Principal":
        """A part of the vault itself, for the trail to name: it holds no token and may do nothing."""
        return cls(
            token_id="",
            partner_id=partner_id,
            tenant_id=tenant_id,
            identity_id=identity_id,
            identity_type=IdentityType.SYSTEM,
            display_name=display_name,
            scopes=frozenset(),
            groups=frozenset(),
            roles=frozenset(),
            token_expires_at=at,
        )

    def entering(self, partner_id: str, tenant_id: str) -> "Principal":
        """The same one acting in another tenant, where the groups of its own mean nothing."""
        return replace(self, partner_id=partner_id, tenant_id=tenant_id, groups=frozenset(), home=self.home or self)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one request came from; `started` is a perf_counter reading in seconds."""

    source_ip: IPv4Address | IPv6Address
    user_agent: str
    request_id: str
    trace_id: str
    started: float


@dataclass(frozen=True, slots=True)
class Caller:
    """One principal making one request."""

    principal: Principal
    origin: Origin

    @property
    def tenant_id(self) -> str:
        return self.principal.tenant_id

    @property
    def identity_id(self) -> str:
        return self.principal.identity_id

    def entering(self, partner_id: str, tenant_id: str) -> "Caller":
        """The same request in another tenant."""
        return replace(self, principal=self.principal.entering(partner_id, tenant_id))

    def at_home(self) -> "Caller":
        """The same request in the caller's own tenant."""
        return replace(self, principal=self.principal.home or self.principal)
