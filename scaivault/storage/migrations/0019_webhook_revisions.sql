-- How a webhook's last attempt went, the order of what has no path, and revisions (docs/adr/0020-events-and-webhooks.md).
--
-- Safe while the previous release runs. Its workers leave the first two as they are, until the next attempt by one of
-- ours; what it changes keeps the revision that it has.

ALTER TABLE webhook_lanes
    ADD COLUMN last_attempt_failed boolean NOT NULL DEFAULT false,
    ADD COLUMN last_delivery_id    text COLLATE "C";

-- What happens to one thing is told in its order, also where that thing has no path: a policy, a webhook. An event's key
-- of order is its path where it names no other. A delivery's is in its column `path`, as it has been from the beginning;
-- from now on it may be other than a path, with a colon in it, which no path has. So the previous release's workers keep
-- to the order of what ours have queued, and free what waits behind it; events that it adds itself, or queues, are
-- ordered by their paths alone.
ALTER TABLE events ADD COLUMN order_key text COLLATE "C";

-- Counted up by every change, for If-Match.
ALTER TABLE webhooks ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE subscriptions ADD COLUMN revision integer NOT NULL DEFAULT 1;
