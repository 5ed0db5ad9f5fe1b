-- Whose tokens, of which workload, may be exchanged for ours. What a trust gave ends with it: tokens.parent_id.
CREATE TABLE trusts (
    tenant_id        text        NOT NULL CONSTRAINT trusts_tenant_id_fkey REFERENCES tenants (id),
    id               text        COLLATE "C" NOT NULL,
    name             text        NOT NULL,
    issuer           text        COLLATE "C" NOT NULL,
    jwks_url         text,
    audience         text        NOT NULL,
    claims           jsonb       NOT NULL CONSTRAINT trusts_claims_check CHECK (claims ? 'sub'),
    identity_id      text        COLLATE "C" NOT NULL,
    scopes           text[]      NOT NULL,
    lifetime_seconds integer     NOT NULL
                                 CONSTRAINT trusts_lifetime_check CHECK (lifetime_seconds BETWEEN 60 AND 43200),
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL,
    CONSTRAINT trusts_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT trusts_name_key UNIQUE (tenant_id, name)
);
CREATE INDEX trusts_issuer_idx ON trusts (tenant_id, issuer, id);
