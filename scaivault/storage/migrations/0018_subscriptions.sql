-- Whoever listens for what happens to paths: told by a webhook of its own, or by asking (docs/adr/0022-subscriptions.md).
--
-- Safe while the previous release runs: it neither keeps events for subscriptions nor tells them any.

CREATE TABLE subscriptions (
    tenant_id     text        NOT NULL CONSTRAINT subscriptions_tenant_id_fkey REFERENCES tenants (id),
    id            text        COLLATE "C" NOT NULL,
    name          text        NOT NULL,
    owner_id      text        COLLATE "C" NOT NULL,
    owner_type    text        NOT NULL,
    owner_groups  text[]      NOT NULL,
    paths         text[]      NOT NULL CONSTRAINT subscriptions_paths_check CHECK (cardinality(paths) > 0),
    events        text[]      NOT NULL CONSTRAINT subscriptions_events_check CHECK (cardinality(events) > 0),
    path_prefix   text        COLLATE "C" NOT NULL,
    secret_type   text,
    tags          text[]      NOT NULL,
    delivery_type text        NOT NULL
                  CONSTRAINT subscriptions_delivery_check CHECK (delivery_type IN ('polling', 'webhook')),
    buffer_size   integer     NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX subscriptions_owner_idx ON subscriptions (tenant_id, owner_id, id);

-- The address of a subscription is a webhook of the same id, with its lane, secrets and deliveries. It listens for no
-- event that there is: what it is told is decided by the subscription, by whoever knows of subscriptions.
ALTER TABLE webhooks ADD COLUMN is_of_subscription boolean NOT NULL DEFAULT false;

-- What a subscription has been told, by numbers without a gap: `last_position` of them, of which `heard` were
-- acknowledged. What is neither heard nor in the buffer is missing, and of that `told_missing` has been owned up to.
CREATE TABLE subscription_buffers (
    tenant_id       text   NOT NULL,
    subscription_id text   COLLATE "C" NOT NULL,
    last_position   bigint NOT NULL DEFAULT 0,
    heard           bigint NOT NULL DEFAULT 0,
    told_missing    bigint NOT NULL DEFAULT 0,
    CONSTRAINT subscription_buffers_pkey PRIMARY KEY (tenant_id, subscription_id),
    CONSTRAINT subscription_buffers_subscription_fkey FOREIGN KEY (tenant_id, subscription_id)
        REFERENCES subscriptions (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE buffered_events (
    tenant_id       text    NOT NULL,
    subscription_id text    COLLATE "C" NOT NULL,
    position        bigint  NOT NULL,
    event_id        text    COLLATE "C" NOT NULL,
    is_heard        boolean NOT NULL DEFAULT false,
    CONSTRAINT buffered_events_pkey PRIMARY KEY (tenant_id, subscription_id, position),
    CONSTRAINT buffered_events_event_key UNIQUE (tenant_id, event_id, subscription_id),
    CONSTRAINT buffered_events_buffer_fkey FOREIGN KEY (tenant_id, subscription_id)
        REFERENCES subscription_buffers (tenant_id, subscription_id) ON DELETE CASCADE,
    CONSTRAINT buffered_events_event_fkey FOREIGN KEY (tenant_id, event_id)
        REFERENCES events (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX buffered_events_waiting_idx ON buffered_events (tenant_id, subscription_id, position) WHERE NOT is_heard;
