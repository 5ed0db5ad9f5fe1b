"""What the identity provider tells, one event a transaction: genuine, fresh, once, and in whatever order."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from scaivault.features.directory import model
from scaivault.features.directory.errors import EventRefused
from scaivault.features.directory.model import Event, Status, Told
from scaivault.features.directory.service import projection
from scaivault.features.directory.store import identities
from scaivault.features.directory.store import telling as store
from scaivault.kernel.caller import Caller, Origin
from scaivault.kernel.errors import TokenInvalid, Unauthenticated
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.kernel.redacted import Redacted
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

FRESH = timedelta(minutes=5)
KEPT = timedelta(hours=1)  # longer than a copy could be fresh, on either side of the clock
MOST_SIGNATURES = 4
_SIGNATURE = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64})+)", re.ASCII)


class Outcome(StrEnum):
    """What an event changed, as its sender is told."""

    TAKEN = "taken"
    TAKEN_BEFORE = "taken before"
    SUPERSEDED = "superseded"


class EventSignature:
    """Checks `X-ScaiKey-Signature: t=<unix>,v1=<hex>`: HMAC-SHA256 of `<t>.<raw body>` under the shared secret."""

    def __init__(self, secret: Redacted | None, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def check(self, header: str | None, body: bytes) -> None:
        """Return if the body is signed and signed lately; Unauthenticated, TokenInvalid."""
        if header is None:
            raise Unauthenticated("Send 'X-ScaiKey-Signature: t=<unix>,v1=<hex>'.")
        form = _SIGNATURE.fullmatch(header)
        if form is None or self._secret is None:
            raise TokenInvalid("The signature does not hold.")
        expected = hmac.digest(self._secret.reveal(), form[1].encode() + b"." + body, "sha256").hex()
        # Several while the secret is being changed on the other side; each compared in constant time.
        given = form[2].removeprefix(",v1=").split(",v1=")[:MOST_SIGNATURES]
        if not any(hmac.compare_digest(expected, each) for each in given):
            raise TokenInvalid("The signature does not hold.")
        if abs(self._clock.now().timestamp() - int(form[1])) > FRESH.total_seconds():
            raise TokenInvalid("The signature is not of these five minutes.")


@dataclass(frozen=True, slots=True)
class _Change:
    """An event in its transaction."""

    tx: Session
    event: Event
    told: Told
    now: datetime

    @property
    def tenant_id(self) -> str:
        return model.tenant_id(self.event.tenant_id)

    @property
    def verb(self) -> str:
        return self.event.kind.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class _Applied:
    """What came of an event, and in whose trail that is told."""

    partner_id: str
    tenant_id: str
    outcome: Outcome
    roles: projection.RoleChange | None = None


class EventService:
    """Brings the directory, and with it who may sign in, up to date."""

    def __init__(self, database: Database, journal: Journal[Session], clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def take(self, event: Event, origin: Origin) -> Outcome:
        """Apply an event. EventRefused if it can not be, and then it may come again.

        One from the future is: everything that is told until then would be late.
        """
        now = self._clock.now()
        if event.at > now + FRESH:
            raise EventRefused("its timestamp is more than five minutes ahead of this vault's clock")
        apply = _APPLY.get(event.kind.rpartition(".")[0]) if event.kind not in _OF_MEMBERS else _apply_member
        with self._database.transaction() as tx:
            if not store.add_event(tx, event.id, now):
                return Outcome.TAKEN_BEFORE
            store.remove_events_before(tx, now - KEPT)
            if apply is None:
                return Outcome.TAKEN  # about something that the vault does not keep
            applied = apply(_Change(tx, event, Told(event.data), now))
            teller = projection.teller(applied.partner_id, applied.tenant_id, event.at, origin)
            self._journal.record(tx, _entry(event, teller, applied.outcome))
            if applied.roles is not None:
                self._journal.record(tx, applied.roles.entry(teller, event.id))
        return applied.outcome


def _entry(event: Event, teller: Caller, outcome: Outcome) -> Entry:
    return Entry.of(
        Action.IDENTITY_SYNC,
        teller,
        event_id=event.id,
        event_type=event.kind,
        resource_id=event.resource_id,
        outcome=outcome.value,
    )


def _outcome(*, is_taken: bool) -> Outcome:
    return Outcome.TAKEN if is_taken else Outcome.SUPERSEDED


def _apply_partner(change: _Change) -> _Applied:
    tx, told = change.tx, change.told
    partner_id = model.partner_id(change.event.resource_id)
    name, slug, region = told.text("name"), told.word("slug"), told.word("region")
    is_taken = store.change_partner(tx, partner_id, name, slug, region, _status(change), change.event.at, change.now)
    if is_taken:
        store.add_shared_space(tx, partner_id)
        projection.void_partner(tx, partner_id)
    return _Applied(partner_id, partner_id, _outcome(is_taken=is_taken))


def _apply_tenant(change: _Change) -> _Applied:
    tx, told = change.tx, change.told
    tenant_id, partner_id = model.tenant_id(change.event.resource_id), model.partner_id(change.event.partner_id)
    known = store.find_partner_of(tx, tenant_id)
    if known not in {None, partner_id}:
        raise EventRefused("this tenant belongs to another partner, and stays there")
    # Its partner may be told of later: an unknown one is no reason to shut out its tenants.
    store.add_partner(tx, partner_id)
    store.add_shared_space(tx, partner_id)
    name, slug = told.text("name"), told.word("slug")
    is_taken = store.change_tenant(tx, tenant_id, partner_id, name, slug, _status(change), change.event.at, change.now)
    if is_taken:
        epochs.move(tx, tenant_id)
    return _Applied(partner_id, tenant_id, _outcome(is_taken=is_taken))


def _apply_user(change: _Change) -> _Applied:
    tx, told, tenant_id = change.tx, change.told, change.tenant_id
    partner_id = _partner_of(tx, tenant_id)
    user_id = model.user_id(change.event.resource_id)
    before = identities.find_held(tx, tenant_id, user_id, told.email())
    was_administered = identities.has_administrator(tx, tenant_id)
    is_taken = store.change_user(
        tx,
        tenant_id,
        user_id,
        told.email(),
        told.text("display_name", "name"),
        _status(change),
        _mfa(change),
        told.roles(),
        change.event.at,
        change.now,
    )
    if is_taken:
        projection.follow(tx, tenant_id, [user_id])
    elif not store.is_user_known(tx, tenant_id, user_id):
        is_taken = _remember(change, user_id)
    if not is_taken:
        return _Applied(partner_id, tenant_id, Outcome.SUPERSEDED)
    roles = projection.role_change(tx, tenant_id, user_id, before, was_administered=was_administered)
    return _Applied(partner_id, tenant_id, Outcome.TAKEN, roles)


def _remember(change: _Change, user_id: str) -> bool:
    """Keep the status of one of whom no email was told yet: who is suspended is out, also if he comes unannounced."""
    status = _status(change)
    if status is None or change.verb == "created":
        raise EventRefused("this user is not known here, and the event does not tell its email")
    is_taken = store.change_untold_user(change.tx, change.tenant_id, user_id, status, change.event.at)
    if is_taken:
        epochs.move(change.tx, change.tenant_id)
    return is_taken


def _apply_group(change: _Change) -> _Applied:
    tx, tenant_id = change.tx, change.tenant_id
    partner_id = _partner_of(tx, tenant_id)
    group_id = model.group_id(change.event.resource_id)
    status = {"deleted": Status.DELETED, "created": Status.ACTIVE}.get(change.verb)
    name = change.told.group_name()
    is_taken = store.change_group(tx, tenant_id, group_id, name, status, change.event.at, change.now)
    if is_taken:
        projection.follow(tx, tenant_id, identities.list_member_ids(tx, tenant_id, group_id))
    elif not store.is_group_known(tx, tenant_id, group_id):
        raise EventRefused("this group is not known here, and the event does not tell its name")
    return _Applied(partner_id, tenant_id, _outcome(is_taken=is_taken))


def _apply_member(change: _Change) -> _Applied:
    tx, tenant_id = change.tx, change.tenant_id
    partner_id = _partner_of(tx, tenant_id)
    group_id, user_id = model.group_id(change.event.resource_id), model.user_id(change.told.text("user_id"))
    kind = change.told.word("membership_type") or "DIRECT"
    is_member = change.event.kind.endswith(".member_added")
    if not (store.is_group_known(tx, tenant_id, group_id) and store.is_user_known(tx, tenant_id, user_id)):
        raise EventRefused("this group or this user is not known here")
    is_taken = store.change_member(tx, tenant_id, group_id, user_id, kind, change.event.at, is_member=is_member)
    if is_taken:
        projection.follow(tx, tenant_id, [user_id])
    return _Applied(partner_id, tenant_id, _outcome(is_taken=is_taken))


def _partner_of(tx: Session, tenant_id: str) -> str:
    partner_id = store.find_partner_of(tx, tenant_id)
    if partner_id is None:
        raise EventRefused("this tenant is not known here")
    return partner_id


def _status(change: _Change) -> Status | None:
    """What the kind of event says, else its data. Who is created is active, also again, unless it says otherwise."""
    said = {"deleted": Status.DELETED, "suspended": Status.SUSPENDED, "activated": Status.ACTIVE}
    return said.get(change.verb) or change.told.status() or (Status.ACTIVE if change.verb == "created" else None)


def _mfa(change: _Change) -> bool | None:
    return {"mfa_enabled": True, "mfa_disabled": False}.get(change.verb, change.told.flag("mfa_enabled"))


_OF_MEMBERS = frozenset({"group.member_added", "group.member_removed"})
_APPLY: Mapping[str, Callable[[_Change], _Applied]] = {
    "partner": _apply_partner,
    "tenant": _apply_tenant,
    "user": _apply_user,
    "group": _apply_group,
}
