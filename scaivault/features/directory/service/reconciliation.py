"""Doing a sync: what the directory tells, page by page, becomes what the vault knows."""

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import uuid4

from scaivault.features.directory import model
from scaivault.features.directory.errors import EventRefused, SyncFailed, SyncLost
from scaivault.features.directory.model import Counts, Status, Sync, SyncFault, SyncStatus, Told
from scaivault.features.directory.service import projection
from scaivault.features.directory.service.reading import LEASE, Reading
from scaivault.features.directory.service.source import DirectorySource
from scaivault.features.directory.store import identities, telling
from scaivault.features.directory.store import syncs as store
from scaivault.kernel.caller import Caller, Origin
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Journal
from scaivault.storage import epochs
from scaivault.storage.database import Database, Session

KEPT = timedelta(days=90)
MOST_ATTEMPTS = 3
"""A sync that three processes did not survive is not given to a fourth."""
BATCH = 100
FEW_USERS = 10
"""A tenant with so few may lose any number of them; of one with more, half."""


class SyncRunner:
    """Does the syncs that wait, one at a time."""

    def __init__(self, database: Database, journal: Journal[Session], clock: Clock, source: DirectorySource) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._source = source

    def run_next(self) -> bool:
        """Do the sync that waits longest; False if none does."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            sync = store.claim_sync(tx, now, now + LEASE)
        if sync is None:
            return False
        counts = Counts()
        if sync.attempts > MOST_ATTEMPTS:
            self._finish(sync, counts, SyncFault.ABANDONED)
            return True
        try:
            fault = _Pass(self._database, self._journal, self._clock, self._source, sync, counts).run()
        except SyncFailed as failure:
            self._finish(sync, counts, failure.code)
        except SyncLost:
            return True  # whoever has it now finishes it
        else:
            self._finish(sync, counts, fault)
        return True

    def _finish(self, sync: Sync, counts: Counts, fault: str | None) -> None:
        now = self._clock.now()
        status = SyncStatus.SUCCEEDED if fault is None else SyncStatus.FAILED
        with self._database.transaction() as tx:
            store.change_finished(tx, sync.id, sync.attempts, status, fault, counts, now)
            store.remove_syncs_before(tx, now - KEPT)


@dataclass(frozen=True, slots=True)
class _User:
    """A user as one page tells of it, every field given: what is left out is as it would be for a new one."""

    id: str
    email: str
    display_name: str
    status: Status
    mfa_enabled: bool
    roles: list[str] | None

    def is_as(self, known: store.KnownUser | None) -> bool:
        return (
            known is not None
            and (self.email, self.display_name, self.status, self.mfa_enabled)
            == (
                known.email,
                known.display_name,
                known.status,
                known.mfa_enabled,
            )
            and self.roles in (None, known.told_roles)
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """A tenant that has been brought up to date itself."""

    partner_id: str
    tenant_id: str
    status: Status


class _Pass:
    """One claim of one sync. Nothing is asked of the source inside a transaction."""

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        clock: Clock,
        source: DirectorySource,
        sync: Sync,
        counts: Counts,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._source = source
        self._sync = sync
        self._counts = counts
        self._reading = Reading(database, clock, sync)

    def run(self) -> SyncFault | None:
        """Bring the sync's territory up to date; what one tenant is refused for does not keep the others waiting."""
        fault = None
        if self._sync.partner_id is None:
            self._partners()
        for place in self._tenants():
            if place.status is Status.DELETED:
                continue  # nobody is in there, and who was, is let in no more
            before = (self._counts.changed, self._counts.deleted)
            was_administered = self._is_administered(place)
            if not self._users(place):
                fault = SyncFault.TOO_MANY_DELETIONS
            self._groups(place)
            self._tell(
                place,
                self._counts.changed - before[0],
                self._counts.deleted - before[1],
                was_administered=was_administered,
            )
        return fault

    def _partners(self) -> None:
        at = self._reading.live()
        for items in self._reading.pages(self._source.partners):
            for item in items:
                self._partner(item, at)

    def _partner(self, item: Mapping[str, object], at: datetime) -> None:
        told = Told(item)
        try:
            partner_id = model.partner_id(item.get("id"))
            name, slug, region = told.text("name"), told.word("slug"), told.word("region")
            status = told.status() or Status.ACTIVE
        except EventRefused:
            self._counts.refused += 1
            return
        with self._database.transaction() as tx:
            was = store.claim_partner_status(tx, partner_id)
            if telling.change_partner(tx, partner_id, name, slug, region, status, at, self._clock.now()):
                telling.add_shared_space(tx, partner_id)
                if was != status:
                    self._counts.changed += 1
                    projection.void_partner(tx, partner_id)

    def _tenants(self) -> Sequence[_Place]:
        """The tenants of the territory, themselves brought up to date. Those not listed stay as they are."""
        at = self._reading.live()
        sync, places = self._sync, []
        if sync.only_tenant_id is not None:
            items = [self._source.tenant(sync.only_tenant_id)]
        else:
            listing = self._reading.pages(lambda page: self._source.tenants(sync.partner_id, page))
            items = [item for page in listing for item in page]
        for item in items:
            place = self._tenant(item, at)
            if place is None:
                self._counts.refused += 1
            else:
                self._counts.tenants += 1
                places.append(place)
        return places

    def _tenant(self, item: Mapping[str, object], at: datetime) -> _Place | None:
        """Where the tenant is; None if it is not what was asked for, or another partner's."""
        told, sync = Told(item), self._sync
        try:
            partner_id, tenant_id = model.partner_id(item.get("partner_id")), model.tenant_id(item.get("id"))
            name, slug, status = told.text("name"), told.word("slug"), told.status() or Status.ACTIVE
            place = _Place(partner_id, tenant_id, status)
        except EventRefused:
            return None
        if sync.partner_id not in {None, place.partner_id} or sync.only_tenant_id not in {None, place.tenant_id}:
            return None
        with self._database.transaction() as tx:
            if telling.find_partner_of(tx, place.tenant_id) not in {None, place.partner_id}:
                return None
            telling.add_partner(tx, place.partner_id)
            telling.add_shared_space(tx, place.partner_id)
            was = store.claim_tenant_status(tx, place.tenant_id)
            is_taken = telling.change_tenant(
                tx, place.tenant_id, place.partner_id, name, slug, status, at, self._clock.now()
            )
            if is_taken and was != status:
                self._counts.changed += 1
                epochs.move(tx, place.tenant_id)
        return place

    def _users(self, place: _Place) -> bool:
        """False if so many are listed no more that nobody is taken for deleted."""
        tenant_id, at = place.tenant_id, self._reading.live()
        with self._database.session() as session:
            active = set(store.list_active_user_ids(session, tenant_id))
        listed: set[str] = set()
        refused: list[_User] = []
        for items in self._reading.pages(lambda page: self._source.users(tenant_id, page)):
            users = self._parsed_users(tenant_id, items, listed)
            news = self._not_as_known(tenant_id, users, at)
            refused += [user for user in news if not self._change_user(place, user, at)]
        with self._database.session() as session:
            missing = [each for each in store.list_user_ids_until(session, tenant_id, at) if each not in listed]
        lost = len(active.intersection(missing))
        is_plausible = len(active) <= FEW_USERS or lost * 2 <= len(active)
        if is_plausible:
            self._delete_users(tenant_id, missing, at)
        # Once the deleted have given up their names, those who were given them can be taken.
        for user in refused:
            self._reading.live()
            self._counts.refused += not self._change_user(place, user, at)
        return is_plausible

    def _parsed_users(
        self, tenant_id: str, items: Sequence[Mapping[str, object]], listed: set[str]
    ) -> dict[str, _User]:
        users = {}
        for item in items:
            user_id = _new_id(model.user_id, item, "id", listed, tenant_id)
            listed.add(user_id)
            try:
                users[user_id] = _user(user_id, Told(item))
            except EventRefused:
                self._counts.refused += 1
        self._counts.users += len(items)
        return users

    def _not_as_known(self, tenant_id: str, users: Mapping[str, _User], at: datetime) -> list[_User]:
        """Those of whom something else is known; of the others it is noted that it still holds."""
        with self._database.transaction() as tx:
            # Locked while they are compared: an event in between would else be covered by a newer instant.
            known = {each.id: each for each in store.claim_users(tx, tenant_id, list(users))}
            same = [user_id for user_id, user in users.items() if user.is_as(known.get(user_id))]
            store.change_users_confirmed(tx, tenant_id, same, at, self._clock.now())
        return [user for user_id, user in users.items() if user_id not in set(same)]

    def _change_user(self, place: _Place, user: _User, at: datetime) -> bool:
        """False if its name is another live user's."""
        tenant_id = place.tenant_id
        try:
            with self._database.transaction() as tx:
                before = identities.find_held(tx, tenant_id, user.id, user.email)
                is_changed = telling.change_user(
                    tx,
                    tenant_id,
                    user.id,
                    user.email,
                    user.display_name,
                    user.status,
                    user.mfa_enabled,
                    user.roles,
                    at,
                    self._clock.now(),
                )
                if is_changed:
                    projection.follow(tx, tenant_id, [user.id])
                    change = projection.role_change(tx, tenant_id, user.id, before)
                    if change is not None:
                        self._journal.record(tx, change.entry(self._teller(place), self._sync.id))
        except EventRefused:
            return False
        self._counts.changed += is_changed
        return True

    def _delete_users(self, tenant_id: str, user_ids: Sequence[str], at: datetime) -> None:
        for some in _batches(user_ids):
            self._reading.live()
            with self._database.transaction() as tx:
                deleted = store.change_users_deleted(tx, tenant_id, some, at, self._clock.now())
                if deleted:
                    projection.follow(tx, tenant_id, deleted)
            self._counts.deleted += len(deleted)

    def _groups(self, place: _Place) -> None:
        tenant_id, at = place.tenant_id, self._reading.live()
        listed: set[str] = set()
        for items in self._reading.pages(lambda page: self._source.groups(tenant_id, page)):
            for item in items:
                group_id = _new_id(model.group_id, item, "id", listed, tenant_id)
                listed.add(group_id)
                if self._group(tenant_id, group_id, Told(item), at):
                    self._members(tenant_id, group_id)
            self._counts.groups += len(items)
        with self._database.session() as session:
            missing = [each for each in store.list_group_ids_until(session, tenant_id, at) if each not in listed]
        for group_id in missing:
            self._reading.live()
            self._counts.deleted += self._change_group(tenant_id, group_id, None, Status.DELETED, at)

    def _group(self, tenant_id: str, group_id: str, told: Told, at: datetime) -> bool:
        """False if the group can not be one here, or is none any more: then its members are nobody's concern."""
        try:
            name = told.group_name()
        except EventRefused:
            name = None
        if name is None:
            self._counts.refused += 1
            return False
        status = Status.ACTIVE if told.data.get("status", "ACTIVE") == "ACTIVE" else Status.DELETED
        self._counts.changed += self._change_group(tenant_id, group_id, name, status, at)
        return status is Status.ACTIVE

    def _change_group(self, tenant_id: str, group_id: str, name: str | None, status: Status, at: datetime) -> bool:
        """Whether anything but its instant is another now."""
        with self._database.transaction() as tx:
            known = store.claim_group(tx, tenant_id, group_id)
            is_same = known is not None and (known.name, known.status) == (name or known.name, status)
            if not telling.change_group(tx, tenant_id, group_id, name, status, at, self._clock.now()):
                return False
            if not is_same:
                projection.follow(tx, tenant_id, identities.list_member_ids(tx, tenant_id, group_id))
            return not is_same

    def _members(self, tenant_id: str, group_id: str) -> None:
        at = self._reading.live()
        told: dict[str, str] = {}
        for items in self._reading.pages(lambda page: self._source.members(group_id, page)):
            for item in items:
                user_id = _new_id(model.user_id, item, "user_id", told, tenant_id)
                told[user_id] = _membership(item)
            self._counts.members += len(items)
        with self._database.session() as session:
            known = {each.user_id: each for each in store.list_members_known(session, tenant_id, group_id)}
        self._change_members(tenant_id, group_id, told, at, is_member=True, known=set(known))
        gone = {user_id: known[user_id].membership_type for user_id in known.keys() - told.keys()}
        self._change_members(tenant_id, group_id, gone, at, is_member=False, known=set())

    def _change_members(
        self,
        tenant_id: str,
        group_id: str,
        kinds: Mapping[str, str],
        at: datetime,
        *,
        is_member: bool,
        known: set[str],
    ) -> None:
        """Put these in or out, as of `at`; identities follow of those who were not so before."""
        for some in _batches(sorted(kinds)):
            self._reading.live()
            with self._database.transaction() as tx:
                moved = [
                    user_id
                    for user_id in some
                    if telling.change_member(tx, tenant_id, group_id, user_id, kinds[user_id], at, is_member=is_member)
                    and user_id not in known
                ]
                if moved:
                    projection.follow(tx, tenant_id, moved)
            self._counts.changed += len(moved)

    def _is_administered(self, place: _Place) -> bool:
        with self._database.session() as session:
            return identities.has_administrator(session, place.tenant_id)

    def _tell(self, place: _Place, changed: int, deleted: int, *, was_administered: bool) -> None:
        """An entry in the tenant's own trail, if anything of it has changed."""
        if not changed and not deleted:
            return
        teller, is_lost = self._teller(place), was_administered and not self._is_administered(place)
        entry = Entry.of(Action.IDENTITY_SYNC, teller, sync_id=self._sync.id, changed=changed, deleted=deleted)
        if is_lost:
            entry = replace(entry, extra={**entry.extra, "leaves_no_administrator": True})
        self._journal.record_alone(entry)

    def _teller(self, place: _Place) -> Caller:
        origin = Origin(ip_address("127.0.0.1"), "scaivault", self._sync.id, uuid4().hex, time.perf_counter())
        return projection.teller(place.partner_id, place.tenant_id, self._clock.now(), origin)


def _user(user_id: str, told: Told) -> _User:
    email = told.email()
    if email is None:
        raise EventRefused("the user has no email")
    return _User(
        user_id,
        email,
        told.text("display_name", "name") or email,
        told.status() or Status.ACTIVE,
        told.flag("mfa_enabled") or False,
        told.roles(),
    )


def _new_id(
    form: Callable[[object], str], item: Mapping[str, object], name: str, listed: Container[str], tenant_id: str
) -> str:
    """The id of what is listed. Whatever has none, or one of elsewhere, makes a listing that proves nothing."""
    try:
        text = form(item.get(name))
    except EventRefused:
        raise SyncFailed(SyncFault.MALFORMED) from None
    if item.get("tenant_id", tenant_id) != tenant_id:
        raise SyncFailed(SyncFault.MALFORMED)
    if text in listed:  # pages have shifted under us
        raise SyncFailed(SyncFault.CHANGED_MEANWHILE)
    return text


def _membership(item: Mapping[str, object]) -> str:
    try:
        return Told(item).word("membership_type") or "DIRECT"
    except EventRefused:
        raise SyncFailed(SyncFault.MALFORMED) from None


def _batches(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
