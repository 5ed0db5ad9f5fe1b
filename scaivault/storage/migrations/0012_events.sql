-- What happened, who is told of it, and how far that has come (docs/adr/0019-worker.md, 0020-events.md).
-- Safe while the previous release runs: it knows none of this.

-- The outbox: a row commits with what it tells of. `sequence` is given out while a path's own lock is held, so for one
-- path it is the order of the commits.
CREATE TABLE events (
    tenant_id     text        NOT NULL CONSTRAINT events_tenant_id_fkey REFERENCES tenants (id),
    id            text        COLLATE "C" NOT NULL,
    sequence      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    event_type    text        COLLATE "C" NOT NULL,
    occurred_at   timestamptz NOT NULL,
    request_id    text        NOT NULL,
    path          text        COLLATE "C",
    secret_type   text,
    tags          text[]      NOT NULL,
    body          text        NOT NULL,
    is_dispatched boolean     NOT NULL DEFAULT false,
    CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX events_undispatched_idx ON events (sequence) WHERE NOT is_dispatched;
CREATE INDEX events_occurred_at_idx ON events (occurred_at);

CREATE TABLE webhooks (
    tenant_id   text        NOT NULL CONSTRAINT webhooks_tenant_id_fkey REFERENCES tenants (id),
    id          text        COLLATE "C" NOT NULL,
    name        text        NOT NULL,
    url         text        NOT NULL,
    events      text[]      NOT NULL CONSTRAINT webhooks_events_check CHECK (cardinality(events) > 0),
    path_prefix text        COLLATE "C" NOT NULL,
    secret_type text,
    tags        text[]      NOT NULL,
    is_enabled  boolean     NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, id)
);

-- What a webhook's deliveries are signed with. The newest version signs; the one before it until it expires.
CREATE TABLE webhook_secrets (
    tenant_id   text        NOT NULL,
    webhook_id  text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL CONSTRAINT webhook_secrets_version_check CHECK (version > 0),
    sealed      bytea       NOT NULL,
    wrapped_key bytea       NOT NULL,
    expires_at  timestamptz,
    -- As in secret_versions: which version of the tenant's key it is under (migration 0003).
    key_version integer GENERATED ALWAYS AS (
        CASE WHEN substring(wrapped_key FROM 1 FOR 4) = '\x53560102'::bytea AND length(wrapped_key) >= 8
             THEN (get_byte(wrapped_key, 4) << 24) | (get_byte(wrapped_key, 5) << 16)
                  | (get_byte(wrapped_key, 6) << 8) | get_byte(wrapped_key, 7)
        END) STORED,
    CONSTRAINT webhook_secrets_pkey PRIMARY KEY (tenant_id, webhook_id, version),
    CONSTRAINT webhook_secrets_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT webhook_secrets_key_fkey FOREIGN KEY (tenant_id, key_version)
        REFERENCES tenant_keys (tenant_id, version)
);
CREATE INDEX webhook_secrets_key_idx ON webhook_secrets (tenant_id, key_version);

-- A webhook's queue as a whole: when something in it is due, and which worker has it for the moment. Whoever adds to the
-- queue or takes from it holds this row, and whoever changes the webhook takes it first.
CREATE TABLE webhook_lanes (
    tenant_id            text        NOT NULL,
    webhook_id           text        COLLATE "C" NOT NULL,
    due_at               timestamptz,
    leased_until         timestamptz,
    lease                text,
    consecutive_failures integer     NOT NULL DEFAULT 0,
    CONSTRAINT webhook_lanes_pkey PRIMARY KEY (tenant_id, webhook_id),
    CONSTRAINT webhook_lanes_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_lanes_due_idx ON webhook_lanes (due_at) WHERE due_at IS NOT NULL;

-- `next_attempt_at` is NULL for what is done, and for what waits behind an earlier event of its path.
CREATE TABLE webhook_deliveries (
    tenant_id       text        NOT NULL,
    webhook_id      text        COLLATE "C" NOT NULL,
    id              text        COLLATE "C" NOT NULL,
    event_id        text        COLLATE "C" NOT NULL,
    sequence        bigint      NOT NULL,
    path            text        COLLATE "C",
    status          text        NOT NULL
                                CONSTRAINT webhook_deliveries_status_check
                                CHECK (status IN ('pending', 'success', 'failed')),
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz CONSTRAINT webhook_deliveries_next_check
                                CHECK (status = 'pending' OR next_attempt_at IS NULL),
    created_at      timestamptz NOT NULL,
    attempted_at    timestamptz,
    response_code   integer,
    duration_ms     double precision,
    error           text,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, webhook_id, id),
    CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (tenant_id, event_id)
        REFERENCES events (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (tenant_id, webhook_id, next_attempt_at, sequence)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_path_idx ON webhook_deliveries (tenant_id, webhook_id, path, sequence)
    WHERE status = 'pending' AND path IS NOT NULL;
CREATE INDEX webhook_deliveries_status_idx ON webhook_deliveries (tenant_id, webhook_id, status, id);
CREATE INDEX webhook_deliveries_event_idx ON webhook_deliveries (tenant_id, event_id);

-- Attempts by the hour, so that a webhook's statistics cost the same whatever it has been sent.
CREATE TABLE webhook_hours (
    tenant_id    text             NOT NULL,
    webhook_id   text             COLLATE "C" NOT NULL,
    hour         timestamptz      NOT NULL,
    succeeded    integer          NOT NULL,
    failed       integer          NOT NULL,
    milliseconds double precision NOT NULL,
    CONSTRAINT webhook_hours_pkey PRIMARY KEY (tenant_id, webhook_id, hour),
    CONSTRAINT webhook_hours_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);

-- Who works beside the API, and when it was last seen.
CREATE TABLE workers (
    id         text        COLLATE "C" CONSTRAINT workers_pkey PRIMARY KEY,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);

-- When the next word about a secret's expiry is due: set whenever its end is, by whichever release writes it.
ALTER TABLE secrets ADD COLUMN notify_before integer[];
ALTER TABLE secrets ADD COLUMN notice_due_at timestamptz;
CREATE FUNCTION secrets_next_notice(ends_at timestamptz, before integer[], after timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE AS $$
    SELECT min(instant)
      FROM (SELECT ends_at - make_interval(secs => seconds) AS instant
              FROM unnest(coalesce(before, '{2592000,604800,86400}') || 0) AS seconds) AS notices
     WHERE instant > after
$$;
CREATE FUNCTION secrets_set_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.notice_due_at := CASE WHEN NEW.deleted_at IS NULL
        THEN secrets_next_notice(NEW.expires_at, NEW.notify_before, now()) END;
    RETURN NEW;
END
$$;
CREATE TRIGGER secrets_notice_on_insert BEFORE INSERT ON secrets
    FOR EACH ROW WHEN (NEW.expires_at IS NOT NULL) EXECUTE FUNCTION secrets_set_notice();
CREATE TRIGGER secrets_notice_on_update BEFORE UPDATE OF expires_at, notify_before, deleted_at ON secrets
    FOR EACH ROW WHEN ((OLD.expires_at, OLD.notify_before, OLD.deleted_at)
                       IS DISTINCT FROM (NEW.expires_at, NEW.notify_before, NEW.deleted_at))
    EXECUTE FUNCTION secrets_set_notice();
UPDATE secrets SET notice_due_at = secrets_next_notice(expires_at, NULL, now())
 WHERE expires_at > now() AND deleted_at IS NULL;
CREATE INDEX secrets_notice_idx ON secrets (notice_due_at) WHERE notice_due_at IS NOT NULL;
