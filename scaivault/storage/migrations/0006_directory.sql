-- The directory: partners, tenants, users and groups as the identity provider tells of them. `changed_at` is the instant
-- of the telling that a row is from: what comes late, out of order, changes nothing. What was deleted stays as a row, or
-- a late telling would bring it back to life.

ALTER TABLE partners
    ADD COLUMN slug           text,
    ADD COLUMN region         text,
    ADD COLUMN changed_at     timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN last_synced_at timestamptz,
    DROP CONSTRAINT partners_status_check,
    ADD CONSTRAINT partners_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED'));

ALTER TABLE tenants
    ADD COLUMN slug           text,
    ADD COLUMN changed_at     timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN last_synced_at timestamptz,
    DROP CONSTRAINT tenants_status_check,
    ADD CONSTRAINT tenants_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED'));

CREATE TABLE users (
    tenant_id      text        NOT NULL CONSTRAINT users_tenant_id_fkey REFERENCES tenants (id),
    id             text        COLLATE "C" NOT NULL,
    email          text        COLLATE "C" NOT NULL,
    display_name   text        NOT NULL,
    status         text        NOT NULL
                               CONSTRAINT users_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
    mfa_enabled    boolean     NOT NULL,
    roles          text[]      NOT NULL,
    changed_at     timestamptz NOT NULL,
    last_synced_at timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE groups (
    tenant_id      text        NOT NULL CONSTRAINT groups_tenant_id_fkey REFERENCES tenants (id),
    id             text        COLLATE "C" NOT NULL,
    name           text        COLLATE "C" NOT NULL,
    status         text        NOT NULL CONSTRAINT groups_status_check CHECK (status IN ('ACTIVE', 'DELETED')),
    changed_at     timestamptz NOT NULL,
    last_synced_at timestamptz NOT NULL,
    CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE group_members (
    tenant_id       text        NOT NULL,
    group_id        text        COLLATE "C" NOT NULL,
    user_id         text        COLLATE "C" NOT NULL,
    membership_type text        NOT NULL,
    is_member       boolean     NOT NULL,
    added_at        timestamptz NOT NULL,
    changed_at      timestamptz NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (tenant_id, group_id, user_id),
    CONSTRAINT group_members_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id),
    CONSTRAINT group_members_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX group_members_user_idx ON group_members (tenant_id, user_id);

-- An identity is what tokens speak for and policies bind. Of a user of the directory it is a projection, written in the
-- transaction that changes the user; of service accounts and of installations without a directory it is all there is.
ALTER TABLE identities
    ADD COLUMN user_id text COLLATE "C",
    ADD COLUMN status  text NOT NULL DEFAULT 'ACTIVE'
                       CONSTRAINT identities_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED'));
CREATE INDEX identities_user_idx ON identities (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- Events that were taken, for as long as a copy of one would still pass for fresh.
CREATE TABLE directory_events (
    event_id    text        COLLATE "C" CONSTRAINT directory_events_pkey PRIMARY KEY,
    received_at timestamptz NOT NULL
);
CREATE INDEX directory_events_received_at_idx ON directory_events (received_at);
