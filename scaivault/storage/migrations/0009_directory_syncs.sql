-- Syncs of the directory: history and queue in one. A row is done by whoever claims it; `leased_until` is how long its
-- claim holds without a sign of life, and `attempts` tells one claim from the next. It belongs to no tenant: a sync is
-- about one tenant (`only_tenant_id`), one partner's, or all there are.
--
-- Safe while the previous release runs: nothing that it knows changes.
CREATE TABLE directory_syncs (
    id             text        COLLATE "C" CONSTRAINT directory_syncs_pkey PRIMARY KEY,
    partner_id     text        COLLATE "C",
    only_tenant_id text        COLLATE "C",
    requested_by   text        NOT NULL,
    home_tenant_id text,
    status         text        NOT NULL
                   CONSTRAINT directory_syncs_status_check CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    leased_until   timestamptz,
    attempts       integer     NOT NULL DEFAULT 0,
    tenants        integer     NOT NULL DEFAULT 0,
    users          integer     NOT NULL DEFAULT 0,
    groups         integer     NOT NULL DEFAULT 0,
    members        integer     NOT NULL DEFAULT 0,
    changed        integer     NOT NULL DEFAULT 0,
    deleted        integer     NOT NULL DEFAULT 0,
    refused        integer     NOT NULL DEFAULT 0,
    error_code     text
);
-- One waits for each territory: whoever asks again before it has begun is told of the one that waits.
CREATE UNIQUE INDEX directory_syncs_queued_idx
    ON directory_syncs (coalesce(partner_id, ''), coalesce(only_tenant_id, '')) WHERE status = 'queued';
CREATE INDEX directory_syncs_due_idx ON directory_syncs (started_at) WHERE status IN ('queued', 'running');
CREATE INDEX directory_syncs_started_at_idx ON directory_syncs (started_at);
