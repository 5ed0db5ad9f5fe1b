"""`/v1/identity`: who there is, who administers, and the receiver of what the identity provider tells."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scaivault.edge.messages import IN_DIGITS, Body, Query, Reply, Timestamp
from scaivault.edge.routes import Route, Signature
from scaivault.features.directory.errors import EventRefused, IdentityNotFound, InvalidRole, RoleBeyondGrantor
from scaivault.features.directory.model import Event, Piece, Resolved, Status, User
from scaivault.features.directory.service.browsing import BrowseService
from scaivault.features.directory.service.events import EventService, EventSignature
from scaivault.features.directory.service.roles import RoleService
from scaivault.kernel.caller import Caller, IdentityType, Origin, Role, Scope
from scaivault.kernel.errors import TenantNotFound
from scaivault.kernel.limits import RateCategory

SIGNATURE = "X-ScaiKey-Signature"
MOST_PAGES = 10_000
MOST_ON_A_PAGE = 500
Id = Annotated[str, Field(max_length=100)]
Which = Annotated[Status, Field(strict=False)] | None


class Numbered(Query):
    """A page of a collection, the first is 1."""

    page: Annotated[int, Field(ge=1, le=MOST_PAGES), IN_DIGITS] = 1
    page_size: Annotated[int, Field(ge=1, le=MOST_ON_A_PAGE), IN_DIGITS] = 50

    def piece(self) -> Piece:
        return Piece(self.page, self.page_size)


class StatusQuery(Numbered):
    status: Which = None


class TenantQuery(StatusQuery):
    partner_id: Id | None = None


class UserQuery(StatusQuery):
    """`q` is a part of the email or the name."""

    q: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class PartnerReply(Reply):
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    slug: str | None
    region: str | None
    status: str
    last_synced_at: Timestamp | None


class PartnerPage(Reply):
    partners: list[PartnerReply]
    total: int


class TenantReply(Reply):
    model_config = ConfigDict(from_attributes=True)

    id: str
    partner_id: str
    name: str
    slug: str | None
    status: str
    last_synced_at: Timestamp | None


class TenantPage(Reply):
    tenants: list[TenantReply]
    total: int


class UserReply(Reply):
    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant_id: str
    email: str
    display_name: str
    status: str
    mfa_enabled: bool
    groups: list[str]
    roles: list[str]
    last_synced_at: Timestamp


class UserPage(Reply):
    users: list[UserReply]
    total: int


class GroupReply(Reply):
    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant_id: str
    name: str
    status: str
    member_count: int
    last_synced_at: Timestamp


class GroupPage(Reply):
    groups: list[GroupReply]
    total: int


class MemberReply(Reply):
    model_config = ConfigDict(from_attributes=True)

    user_id: str
    email: str
    membership_type: str
    added_at: Timestamp


class MemberPage(Reply):
    members: list[MemberReply]
    total: int


class ResolvedReply(Reply):
    """`identity_id` is the name that policies bind and the trail tells; `user_id` the directory's, of users."""

    model_config = ConfigDict(from_attributes=True)

    identity_type: str
    identity_id: str
    display_name: str
    status: str
    user_id: str | None
    groups: list[str]
    roles: list[str]


class RoleReply(Reply):
    name: str
    description: str


class RolesReply(Reply):
    roles: list[RoleReply]


class UserRolesBody(Body):
    """The roles that the user has from now on, instead of those it had."""

    roles: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=len(Role))]


class UserRolesReply(Reply):
    user_id: str
    roles: list[str]


class _Lenient(BaseModel):
    """Another's message: what it says beyond this is none of our business."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Resource(_Lenient):
    type: Annotated[str, Field(max_length=100)]
    id: Id


class EventBody(Body):
    """ScaiKey's webhook envelope."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=False)

    event_id: Annotated[str, Field(pattern="^evt_[A-Za-z0-9_-]{1,96}$")]
    event_type: Annotated[str, Field(pattern=r"^[a-z_]{1,40}\.[a-z_]{1,40}$")]
    timestamp: datetime
    resource: Resource
    tenant_id: Id | None = None
    partner_id: Id | None = None
    data: Annotated[dict[str, Any], Field(default_factory=dict)]

    def to_model(self) -> Event:
        if self.timestamp.tzinfo is None:
            raise EventRefused("the timestamp has no time zone")
        return Event(
            self.event_id,
            self.event_type,
            self.timestamp,
            self.resource.id,
            self.partner_id,
            self.tenant_id,
            self.data,
        )


class EventReply(Reply):
    """`success` is false for an event that is genuine and can not be taken; sending it again may help later.

    `message` is `taken`, `taken before`, `superseded` by a newer one that came first, or says why it is not taken.
    """

    success: bool
    message: str
    event_id: str


ROLES = {
    Role.TENANT_ADMIN: "Manages the policies, tokens and service accounts of one tenant.",
    Role.PARTNER_ADMIN: "Acts in every tenant of the partner, writes what they share, gives roles.",
    Role.SUPER_ADMIN: "Acts in every tenant of the installation; alone gives and takes this role.",
}


class DirectoryRoutes:
    def __init__(self, browsing: BrowseService, roles: RoleService, events: EventService) -> None:
        self._browsing = browsing
        self._roles = roles
        self._events = events

    def partners(self, caller: Caller, query: StatusQuery) -> PartnerPage:
        listed = self._browsing.partners(caller, query.status, query.piece())
        return PartnerPage(partners=[PartnerReply.model_validate(row) for row in listed.rows], total=listed.total)

    def tenants(self, caller: Caller, query: TenantQuery) -> TenantPage:
        listed = self._browsing.tenants(caller, query.partner_id, query.status, query.piece())
        return TenantPage(tenants=[TenantReply.model_validate(row) for row in listed.rows], total=listed.total)

    def users(self, caller: Caller, tenant_id: str, query: UserQuery) -> UserPage:
        listed = self._browsing.users(caller, tenant_id, query.status, query.q, query.piece())
        return UserPage(users=[UserReply.model_validate(row) for row in listed.rows], total=listed.total)

    def groups(self, caller: Caller, tenant_id: str, query: StatusQuery) -> GroupPage:
        listed = self._browsing.groups(caller, tenant_id, query.status, query.piece())
        return GroupPage(groups=[GroupReply.model_validate(row) for row in listed.rows], total=listed.total)

    def members(self, caller: Caller, group_id: str, query: Numbered) -> MemberPage:
        listed = self._browsing.members(caller, group_id, query.piece())
        return MemberPage(members=[MemberReply.model_validate(row) for row in listed.rows], total=listed.total)

    def resolve(self, caller: Caller, identity_type: str, identity_id: str) -> ResolvedReply:
        if identity_type not in set(IdentityType):
            raise IdentityNotFound
        found: Resolved = self._browsing.resolve(caller, IdentityType(identity_type), identity_id)
        return ResolvedReply.model_validate(found)

    def roles(self, caller: Caller) -> RolesReply:
        del caller  # any token may know what roles there are
        return RolesReply(roles=[RoleReply(name=name, description=text) for name, text in ROLES.items()])

    def read_roles(self, caller: Caller, user_id: str) -> UserRolesReply:
        return _user_roles(self._roles.read(caller, user_id))

    def assign_roles(self, caller: Caller, user_id: str, body: UserRolesBody) -> UserRolesReply:
        return _user_roles(self._roles.assign(caller, user_id, body.roles))

    def take_event(self, origin: Origin, body: EventBody) -> EventReply:
        try:
            outcome = self._events.take(body.to_model(), origin)
        except EventRefused as refusal:
            return EventReply(success=False, message=str(refusal), event_id=body.event_id)
        return EventReply(success=True, message=outcome.value, event_id=body.event_id)


def _user_roles(user: User) -> UserRolesReply:
    return UserRolesReply(user_id=user.id, roles=user.roles)


def table(
    browsing: BrowseService, roles: RoleService, events: EventService, signature: EventSignature
) -> Sequence[Route]:
    at = DirectoryRoutes(browsing, roles, events)
    return (*_reading(at), *_roles(at), _receiver(at, signature))


def _reading(at: DirectoryRoutes) -> Sequence[Route]:
    read = Scope.IDENTITY_READ
    tenant = "/v1/identity/tenants/<tenant_id>"
    return (
        Route(
            "GET",
            "/v1/identity/partners",
            at.partners,
            "List partners",
            read,
            query=StatusQuery,
            reply=PartnerPage,
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            "/v1/identity/tenants",
            at.tenants,
            "List tenants",
            read,
            query=TenantQuery,
            reply=TenantPage,
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            f"{tenant}/users",
            at.users,
            "List a tenant's users",
            read,
            query=UserQuery,
            reply=UserPage,
            errors=(TenantNotFound,),
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            f"{tenant}/groups",
            at.groups,
            "List a tenant's groups",
            read,
            query=StatusQuery,
            reply=GroupPage,
            errors=(TenantNotFound,),
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            "/v1/identity/groups/<group_id>/members",
            at.members,
            "List a group's members",
            read,
            query=Numbered,
            reply=MemberPage,
            errors=(IdentityNotFound,),
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            "/v1/identity/resolve/<identity_type>/<identity_id>",
            at.resolve,
            "An identity with its groups and roles",
            read,
            reply=ResolvedReply,
            errors=(IdentityNotFound,),
            limit=RateCategory.IDENTITY_READ,
        ),
    )


def _roles(at: DirectoryRoutes) -> Sequence[Route]:
    return (
        Route(
            "GET",
            "/v1/identity/roles",
            at.roles,
            "The roles there are",
            reply=RolesReply,
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "GET",
            "/v1/identity/users/<user_id>/roles",
            at.read_roles,
            "A user's roles",
            Scope.IDENTITY_READ,
            reply=UserRolesReply,
            errors=(IdentityNotFound,),
            limit=RateCategory.IDENTITY_READ,
        ),
        Route(
            "PUT",
            "/v1/identity/users/<user_id>/roles",
            at.assign_roles,
            "Give a user other roles",
            Scope.IDENTITY_ADMIN,
            body=UserRolesBody,
            reply=UserRolesReply,
            errors=(IdentityNotFound, InvalidRole, RoleBeyondGrantor),
            limit=RateCategory.POLICY,
        ),
    )


def _receiver(at: DirectoryRoutes, signature: EventSignature) -> Route:
    return Route(
        "POST",
        "/v1/identity/webhooks/scaikey",
        at.take_event,
        "Take an event of the identity provider",
        body=EventBody,
        reply=EventReply,
        max_body_bytes=256 * 1024,
        is_open=True,
        proves_itself=True,
        signature=Signature(SIGNATURE, signature.check),
        limit=RateCategory.OPEN,
    )
