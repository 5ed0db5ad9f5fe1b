"""Events, and who listens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scaivault.features.events.model.webhooks import Interest, StoredEvent
from scaivault.features.events.store.authority import IS_SUSPENDED
from scaivault.kernel.caller import IdentityType, Principal
from scaivault.kernel.globs import Glob
from scaivault.storage.database import Session

_DISPATCH_LOCK = "events_dispatch"


@dataclass(frozen=True, slots=True)
class Listening:
    """A webhook or a subscription that is told, and of what; whose it is, where its owner asks for it himself."""

    tenant_id: str
    id: str
    events: Sequence[str]
    path_prefix: str
    secret_type: str | None
    tags: Sequence[str]
    paths: Sequence[str]
    partner_id: str | None
    owner_id: str | None
    owner_type: str | None
    owner_groups: Sequence[str] | None

    @property
    def interest(self) -> Interest:
        paths = [Glob.parse(path) for path in self.paths]
        return Interest(self.events, self.path_prefix, self.secret_type, self.tags, paths)

    def owner(self, now: datetime) -> Principal | None:
        """Whose policies say what goes into the buffer; None if this one has no buffer."""
        if self.partner_id is None or self.owner_id is None or self.owner_type is None:
            return None
        return Principal(
            token_id="",
            partner_id=self.partner_id,
            tenant_id=self.tenant_id,
            identity_id=self.owner_id,
            identity_type=IdentityType(self.owner_type),
            display_name=self.owner_id,
            scopes=frozenset(),
            groups=frozenset(self.owner_groups or ()),
            roles=frozenset(),
            token_expires_at=now,
        )


@dataclass(frozen=True, slots=True)
class Undispatched:
    """An event that nobody has been told of yet."""

    tenant_id: str
    id: str
    sequence: int
    event_type: str
    path: str | None
    secret_type: str | None
    tags: Sequence[str]
    order_key: str | None
    also_to: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Taken:
    is_taken: bool


def add_event(tx: Session, tenant_id: str, event: StoredEvent, *, is_dispatched: bool = False) -> None:
    tx.run(
        """
        INSERT INTO events (tenant_id, id, event_type, occurred_at, request_id, path, secret_type, tags, body,
                            order_key, also_to, trace_id, is_dispatched)
        VALUES (%(tenant_id)s, %(id)s, %(event_type)s, %(occurred_at)s, %(request_id)s, %(path)s, %(secret_type)s,
                %(tags)s, %(body)s, %(order_key)s, %(also_to)s, %(trace_id)s,
                %(is_dispatched)s)
        """,
        tenant_id=tenant_id,
        id=event.id,
        event_type=event.event_type,
        occurred_at=event.occurred_at,
        request_id=event.request_id,
        path=event.path,
        secret_type=event.secret_type,
        tags=list(event.tags),
        body=event.body,
        order_key=event.order_key,
        also_to=list(event.also_to),
        trace_id=event.trace_id,
        is_dispatched=is_dispatched,
    )


def list_listening(session: Session, tenant_ids: Sequence[str]) -> list[Listening]:
    """The enabled webhooks of these tenants, and the subscriptions that are polled or told something."""
    return session.many(
        Listening,
        f"""
        SELECT tenant_id, id, events, path_prefix, secret_type, tags, ARRAY[]::text[] AS paths, NULL AS partner_id,
               NULL AS owner_id, NULL AS owner_type, NULL::text[] AS owner_groups
          FROM webhooks
         WHERE tenant_id = ANY(%(tenant_ids)s) AND is_enabled AND NOT is_of_subscription
        UNION ALL
        SELECT subscriptions.tenant_id, subscriptions.id, subscriptions.events, subscriptions.path_prefix,
               subscriptions.secret_type, subscriptions.tags, paths, NULL, NULL, NULL, NULL
          FROM subscriptions
          JOIN webhooks ON webhooks.tenant_id = subscriptions.tenant_id AND webhooks.id = subscriptions.id
         WHERE subscriptions.tenant_id = ANY(%(tenant_ids)s) AND delivery_type = 'webhook' AND is_enabled
           AND NOT {IS_SUSPENDED}
        UNION ALL
        SELECT subscriptions.tenant_id, subscriptions.id, events, path_prefix, secret_type, tags, paths,
               tenants.partner_id, owner_id, owner_type, owner_groups
          FROM subscriptions
          JOIN tenants ON tenants.id = subscriptions.tenant_id
         WHERE subscriptions.tenant_id = ANY(%(tenant_ids)s) AND delivery_type = 'polling'
        """,
        tenant_ids=list(tenant_ids),
    )


def claim_dispatch(tx: Session) -> bool:
    """Be the one that dispatches until this transaction ends; False if another one is."""
    found = tx.one(_Taken, "SELECT pg_try_advisory_xact_lock(hashtext(%(name)s)) AS is_taken", name=_DISPATCH_LOCK)
    return found is not None and found.is_taken


def list_undispatched(tx: Session, limit: int) -> list[Undispatched]:
    """The first events of all tenants that were not dispatched yet, in the order of their sequence."""
    return tx.many(
        Undispatched,
        """
        SELECT tenant_id, id, sequence, event_type, path, secret_type, tags, coalesce(order_key, path) AS order_key,
               also_to
          FROM events
         WHERE NOT is_dispatched
         ORDER BY sequence
         LIMIT %(limit)s
        """,
        limit=limit,
    )


def change_dispatched(tx: Session, tenant_ids: Sequence[str], ids: Sequence[str]) -> None:
    tx.run(
        """
        UPDATE events
           SET is_dispatched = true
          FROM unnest(%(tenant_ids)s::text[], %(ids)s::text[]) AS done (tenant_id, id)
         WHERE events.tenant_id = done.tenant_id AND events.id = done.id
        """,
        tenant_ids=list(tenant_ids),
        ids=list(ids),
    )


def remove_events_before(session: Session, instant: datetime, limit: int) -> int:
    """Forget the oldest events of all tenants, and their deliveries; how many there were, at most `limit`."""
    return session.run(
        """
        DELETE FROM events
         USING (SELECT tenant_id, id
                  FROM events
                 WHERE occurred_at < %(instant)s
                 ORDER BY occurred_at
                 LIMIT %(limit)s
                   FOR UPDATE SKIP LOCKED) AS old
         WHERE events.tenant_id = old.tenant_id AND events.id = old.id
        """,
        instant=instant,
        limit=limit,
    )
