-- How the values of secrets are made. What a policy says is configuration, and no secret: nothing in `fields` is sealed.
--
-- Safe while the previous release runs: nothing that it knows changes.
CREATE TABLE secret_policies (
    tenant_id   text        NOT NULL CONSTRAINT secret_policies_tenant_id_fkey REFERENCES tenants (id),
    id          text        COLLATE "C" NOT NULL,
    name        text        COLLATE "C" NOT NULL,
    description text        NOT NULL,
    policy_type text        NOT NULL
                            CONSTRAINT secret_policies_type_check
                            CHECK (policy_type IN ('password', 'api_key', 'oauth_client', 'ssh_key', 'custom')),
    fields      jsonb       NOT NULL,
    is_active   boolean     NOT NULL,
    revision    integer     NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT secret_policies_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT secret_policies_name_key UNIQUE (tenant_id, name)
);
