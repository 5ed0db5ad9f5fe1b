-- Tenancy, identities, keys, secrets, policies. Every constraint is named: names are API (storage.errors).

CREATE TABLE partners (
    id         text        CONSTRAINT partners_pkey PRIMARY KEY,
    name       text        NOT NULL,
    status     text        NOT NULL DEFAULT 'ACTIVE'
                           CONSTRAINT partners_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenants (
    id              text        CONSTRAINT tenants_pkey PRIMARY KEY,
    partner_id      text        NOT NULL CONSTRAINT tenants_partner_id_fkey REFERENCES partners (id),
    name            text        NOT NULL,
    status          text        NOT NULL DEFAULT 'ACTIVE'
                                CONSTRAINT tenants_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED')),
    authority_epoch bigint      NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenants_partner_id_idx ON tenants (partner_id);
CREATE INDEX tenants_authority_epoch_idx ON tenants (authority_epoch);

-- One row. Its lock orders authority changes, so that readers of tenants.authority_epoch can not miss one.
CREATE TABLE authority_clock (
    is_single boolean NOT NULL DEFAULT true
              CONSTRAINT authority_clock_pkey PRIMARY KEY
              CONSTRAINT authority_clock_is_single_check CHECK (is_single),
    epoch     bigint  NOT NULL
);
INSERT INTO authority_clock (epoch) VALUES (0);

CREATE TABLE identities (
    tenant_id     text        NOT NULL CONSTRAINT identities_tenant_id_fkey REFERENCES tenants (id),
    id            text        COLLATE "C" NOT NULL,
    identity_type text        NOT NULL
                              CONSTRAINT identities_type_check CHECK (identity_type IN ('user', 'service_account')),
    display_name  text        NOT NULL,
    groups        text[]      NOT NULL DEFAULT '{}',
    roles         text[]      NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identities_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE tokens (
    id          text        CONSTRAINT tokens_pkey PRIMARY KEY,
    tenant_id   text        NOT NULL,
    identity_id text        COLLATE "C" NOT NULL,
    name        text        NOT NULL,
    scopes      text[]      NOT NULL,
    digest      bytea       NOT NULL CONSTRAINT tokens_digest_key UNIQUE,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    CONSTRAINT tokens_identity_fkey FOREIGN KEY (tenant_id, identity_id) REFERENCES identities (tenant_id, id)
);
CREATE INDEX tokens_tenant_identity_idx ON tokens (tenant_id, identity_id, id);

-- The key chain: KMS root -> partner key -> tenant key -> data key (secret_versions.wrapped_key).
CREATE TABLE partner_keys (
    partner_id text        NOT NULL CONSTRAINT partner_keys_partner_id_fkey REFERENCES partners (id),
    version    integer     NOT NULL CONSTRAINT partner_keys_version_check CHECK (version > 0),
    wrapped    bytea       NOT NULL,
    kms_key_id text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT partner_keys_pkey PRIMARY KEY (partner_id, version)
);

CREATE TABLE tenant_keys (
    tenant_id        text        NOT NULL CONSTRAINT tenant_keys_tenant_id_fkey REFERENCES tenants (id),
    version          integer     NOT NULL CONSTRAINT tenant_keys_version_check CHECK (version > 0),
    wrapped          bytea       NOT NULL,
    wrapping_version integer     NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_keys_pkey PRIMARY KEY (tenant_id, version)
);

CREATE TABLE system_keys (
    purpose    text        CONSTRAINT system_keys_pkey PRIMARY KEY,
    version    integer     NOT NULL,
    wrapped    bytea       NOT NULL,
    kms_key_id text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secrets (
    tenant_id          text        NOT NULL CONSTRAINT secrets_tenant_id_fkey REFERENCES tenants (id),
    path               text        COLLATE "C" NOT NULL,
    secret_type        text        NOT NULL
                                   CONSTRAINT secrets_type_check
                                   CHECK (secret_type IN ('kv', 'json', 'certificate', 'ssh_key', 'api_key')),
    current_version    integer     NOT NULL CONSTRAINT secrets_current_version_check CHECK (current_version > 0),
    metadata           jsonb       NOT NULL,
    max_versions       integer     NOT NULL CONSTRAINT secrets_max_versions_check CHECK (max_versions BETWEEN 1 AND 100),
    expires_in_seconds bigint,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    expires_at         timestamptz,
    deleted_at         timestamptz,
    recoverable_until  timestamptz,
    last_accessed_at   timestamptz,
    last_accessed_by   text,
    CONSTRAINT secrets_pkey PRIMARY KEY (tenant_id, path),
    CONSTRAINT secrets_deleted_check CHECK ((deleted_at IS NULL) = (recoverable_until IS NULL))
);
CREATE INDEX secrets_type_idx ON secrets (tenant_id, secret_type, path);
CREATE INDEX secrets_owner_idx ON secrets (tenant_id, (metadata ->> 'owner'), path) WHERE metadata ? 'owner';
CREATE INDEX secrets_expires_at_idx ON secrets (tenant_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE secret_versions (
    tenant_id    text        NOT NULL,
    path         text        COLLATE "C" NOT NULL,
    version      integer     NOT NULL CONSTRAINT secret_versions_version_check CHECK (version > 0),
    sealed       bytea,
    wrapped_key  bytea,
    created_at   timestamptz NOT NULL,
    created_by   text        NOT NULL,
    destroyed_at timestamptz,
    CONSTRAINT secret_versions_pkey PRIMARY KEY (tenant_id, path, version),
    CONSTRAINT secret_versions_secret_fkey FOREIGN KEY (tenant_id, path)
        REFERENCES secrets (tenant_id, path) ON DELETE CASCADE,
    -- Destroyed means erased: neither the ciphertext nor its key is left.
    CONSTRAINT secret_versions_destroyed_check
        CHECK ((destroyed_at IS NULL) = (sealed IS NOT NULL AND wrapped_key IS NOT NULL)
               AND (sealed IS NULL) = (wrapped_key IS NULL))
);
-- Ciphertext does not compress; trying costs time.
ALTER TABLE secret_versions ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Tags beside their secrets, so that a tag's secrets come in the order of their paths, however many there are.
CREATE TABLE secret_tags (
    tenant_id text NOT NULL,
    tag       text COLLATE "C" NOT NULL,
    path      text COLLATE "C" NOT NULL,
    CONSTRAINT secret_tags_pkey PRIMARY KEY (tenant_id, tag, path),
    CONSTRAINT secret_tags_secret_fkey FOREIGN KEY (tenant_id, path)
        REFERENCES secrets (tenant_id, path) ON DELETE CASCADE
);
CREATE INDEX secret_tags_path_idx ON secret_tags (tenant_id, path);

CREATE TABLE policies (
    tenant_id   text        NOT NULL CONSTRAINT policies_tenant_id_fkey REFERENCES tenants (id),
    id          text        NOT NULL,
    name        text        COLLATE "C" NOT NULL,
    description text        NOT NULL,
    rules       jsonb       NOT NULL,
    is_active   boolean     NOT NULL,
    revision    integer     NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT policies_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT policies_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE policy_bindings (
    tenant_id     text        NOT NULL,
    id            text        NOT NULL,
    policy_id     text        NOT NULL,
    identity_type text        NOT NULL
                              CONSTRAINT policy_bindings_type_check
                              CHECK (identity_type IN ('user', 'service_account', 'group')),
    identity_id   text        COLLATE "C" NOT NULL,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL,
    CONSTRAINT policy_bindings_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT policy_bindings_identity_key UNIQUE (tenant_id, policy_id, identity_type, identity_id),
    CONSTRAINT policy_bindings_policy_fkey FOREIGN KEY (tenant_id, policy_id) REFERENCES policies (tenant_id, id)
);
-- What somebody is bound to, asked whenever a process learns of a caller.
CREATE INDEX policy_bindings_subject_idx ON policy_bindings (tenant_id, identity_type, identity_id);
