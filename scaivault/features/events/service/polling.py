"""Asking for events, and waiting for some; and saying that they were heard."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from scaivault.features.events.errors import SubscriptionNotFound
from scaivault.features.events.model.subscriptions import OF_THE_TRAIL, Buffer, Gap, Waiting, missing_named
from scaivault.features.events.service.waiting import WaitingRoom
from scaivault.features.events.store import buffers
from scaivault.features.events.store import subscriptions as store
from scaivault.features.events.store.buffers import Awaited
from scaivault.kernel.caller import Caller, Scope
from scaivault.kernel.journal import Action, Entry
from scaivault.kernel.ports import Clock, Ears, Guard, Journal, Reentry
from scaivault.storage.database import Database, Session


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: what comes after `since`, or all that was not acknowledged."""

    since: str | None
    most: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """Events in the order in which they were committed, as their envelopes, and whether there are more."""

    bodies: Sequence[str]
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Start:
    """Where to begin: beyond a position, without what was acknowledged unless it is a replay.

    `told_missing` is what the asker knows to be missing; `is_unknown` if where he was is not there any more.
    """

    position: int = 0
    is_replay: bool = False
    told_missing: int | None = None
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    found: Sequence[Waiting]
    gap: Gap | None
    has_more: bool
    awaited: Awaited

    @property
    def is_empty(self) -> bool:
        return not self.found and self.gap is None


class PollService:
    """For a subscription's owner, at home: for everybody else there is no such subscription.

    What is shown is decided when it is shown, by the caller as he is then: an event of a path that he may neither list
    nor read stays in the buffer.
    """

    def __init__(
        self,
        database: Database,
        journal: Journal[Session],
        guard: Guard,
        ears: Ears,
        clock: Clock,
        room: WaitingRoom,
    ) -> None:
        self._database = database
        self._journal = journal
        self._guard = guard
        self._ears = ears
        self._clock = clock
        self._room = room

    def poll(self, caller: Caller, subscription_id: str, question: Question, again: Reentry) -> Heard:
        """What there is, or what comes within the time. SubscriptionNotFound, TooManyWait."""
        until = time.monotonic() + question.timeout_seconds
        look = self._look(caller, subscription_id, question)
        if look.is_empty and question.timeout_seconds > 0:
            caller, look = self._wait(caller, subscription_id, question, again, look, until)
        if look.is_empty:
            return Heard((), has_more=False)
        return self._hand_out(caller, subscription_id, look)

    def acknowledge(self, caller: Caller, subscription_id: str, event_ids: Sequence[str]) -> int:
        """Take these as heard; how many of them were not until now. Others say nothing. SubscriptionNotFound."""
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_READ)
        with self._journal.operation(Action.SUBSCRIPTION_ACK, caller) as tx:
            self._require_owner(tx, caller, subscription_id)
            buffers.claim_buffers(tx, [caller.tenant_id], [subscription_id])
            heard = buffers.change_heard(tx, caller.tenant_id, subscription_id, event_ids)
            gaps = [missing for each in event_ids if (missing := missing_named(each, subscription_id)) is not None]
            if gaps:
                heard += buffers.change_told_missing(tx, caller.tenant_id, subscription_id, max(gaps))
            self._journal.record(
                tx, Entry.of(Action.SUBSCRIPTION_ACK, caller, subscription_id=subscription_id, acknowledged=heard)
            )
        return heard

    def _wait(
        self, caller: Caller, subscription_id: str, question: Question, again: Reentry, look: _Look, until: float
    ) -> tuple[Caller, _Look]:
        """Until there is something, in which case it is decided anew who asks and what he may hear."""
        with self._room.seat(caller.tenant_id, subscription_id) as seat:
            while look.is_empty and not seat.is_over and time.monotonic() < until:
                began = time.monotonic()
                seat.wait(look.awaited, until)
                caller = again(time.monotonic() - began)
                look = self._look(caller, subscription_id, question)
        return caller, look

    def _look(self, caller: Caller, subscription_id: str, question: Question) -> _Look:
        self._guard.require_scope(caller, Scope.SUBSCRIPTIONS_READ)
        reach, is_auditor = self._ears.hears(caller), Scope.AUDIT_READ in caller.principal.scopes
        with self._database.session() as session:
            self._require_owner(session, caller, subscription_id)
            store.change_owner_groups(session, caller.tenant_id, subscription_id, sorted(caller.principal.groups))
            start = _start(session, caller.tenant_id, subscription_id, question.since)
            found: list[Waiting] = []
            position, missing_beyond = start.position, 0
            while True:
                seen = buffers.find_buffer(
                    session, caller.tenant_id, subscription_id, position, question.most + 1, with_heard=start.is_replay
                )
                if seen is None:
                    raise SubscriptionNotFound
                buffer, page = seen
                missing_beyond = max(missing_beyond, buffer.missing_beyond)
                found += [
                    each
                    for each in page
                    if reach.covers(each.path) and (is_auditor or each.event_type not in OF_THE_TRAIL)
                ]
                if len(page) <= question.most or len(found) > question.most:
                    break
                position = page[-1].position
        gap = _gap(subscription_id, start, buffer, missing_beyond)
        room = question.most - (gap is not None)
        awaited = Awaited(caller.tenant_id, subscription_id, buffer.last_position, buffer.epoch)
        return _Look(found[:room], gap, len(found) > room, awaited)

    def _hand_out(self, caller: Caller, subscription_id: str, look: _Look) -> Heard:
        """No event leaves before it is in the trail that it did: a row for an answer, not for each event of it."""
        first = look.found[0].event_id if look.found else None
        self._journal.record_alone(
            Entry.of(
                Action.SUBSCRIPTION_EVENT,
                caller,
                subscription_id=subscription_id,
                events=len(look.found),
                first_event_id=first,
                last_event_id=look.found[-1].event_id if look.found else None,
                dropped=look.gap.dropped if look.gap else 0,
            )
        )
        marker = [look.gap.body(caller, self._clock.now(), first)] if look.gap else []
        return Heard([*marker, *(each.body for each in look.found)], look.has_more)

    def _require_owner(self, session: Session, caller: Caller, subscription_id: str) -> None:
        """Also whoever has come from another tenant owns nothing here: a name belongs to its tenant."""
        found = store.find_subscription(
            session, caller.tenant_id, subscription_id, caller.identity_id, self._clock.now()
        )
        if found is None or not found.is_polled or caller.principal.home is not None:
            raise SubscriptionNotFound("There is no such subscription of yours that is polled.")


def _start(session: Session, tenant_id: str, subscription_id: str, since: str | None) -> _Start:
    if since is None:
        return _Start()
    if (missing := missing_named(since, subscription_id)) is not None:
        return _Start(is_replay=True, told_missing=missing)
    position = buffers.find_position(session, tenant_id, subscription_id, since)
    if position is None:
        return _Start(is_replay=True, is_unknown=True)
    return _Start(position, is_replay=True)


def _gap(subscription_id: str, start: _Start, buffer: Buffer, missing_beyond: int) -> Gap | None:
    """What to own up to before anything else."""
    if start.is_unknown:
        return Gap(subscription_id, buffer.missing, None)
    if start.is_replay and start.told_missing is None:
        return Gap(subscription_id, buffer.missing, missing_beyond) if missing_beyond > 0 else None
    known = buffer.told_missing if start.told_missing is None else start.told_missing
    dropped = buffer.missing - known
    return Gap(subscription_id, buffer.missing, dropped) if dropped > 0 else None


def stirred(database: Database, awaited: Sequence[Awaited]) -> Sequence[int]:
    """Which of these should look again, in one question for all of them."""
    with database.session() as session:
        return buffers.list_stirred(session, awaited)
