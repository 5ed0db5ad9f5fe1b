-- A user is found by the id that the identity provider gives him, and has one name however his address is spelt.
--
-- Safe while the previous release runs: it finds all that it knows where it was. Names in capitals stay as rows that this
-- release does not look at (policy_bindings, identities), for the next release to remove.

-- Whoever was told to be suspended, deleted or active before anything else was told of him, which users has no row for.
CREATE TABLE untold_users (
    tenant_id  text        NOT NULL CONSTRAINT untold_users_tenant_id_fkey REFERENCES tenants (id),
    id         text        COLLATE "C" NOT NULL,
    status     text        NOT NULL
               CONSTRAINT untold_users_status_check CHECK (status IN ('ACTIVE', 'SUSPENDED', 'DELETED')),
    changed_at timestamptz NOT NULL,
    CONSTRAINT untold_users_pkey PRIMARY KEY (tenant_id, id)
);

-- `roles` are what counts: those given in the vault, which stay until they are taken here, and those that the identity
-- provider tells, NULL if it never told any. `given_groups` are of the time before the directory told of the user.
ALTER TABLE users
    ADD COLUMN given_roles  text[] NOT NULL DEFAULT '{}',
    ADD COLUMN given_groups text[] NOT NULL DEFAULT '{}',
    ADD COLUMN told_roles   text[];
CREATE INDEX users_email_idx ON users (tenant_id, email);

-- Who made a token for himself: it ends with him, also where the directory knows him by no name.
ALTER TABLE tokens ADD COLUMN user_id text COLLATE "C";
CREATE INDEX tokens_user_idx ON tokens (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- One spelling of every address. A row for it is added, and what the others had is joined in it.
INSERT INTO identities (tenant_id, id, identity_type, display_name, groups, roles, created_at, status)
SELECT DISTINCT ON (tenant_id, lower(id))
       tenant_id, lower(id), identity_type, display_name, groups, roles, created_at, status
  FROM identities
 WHERE identity_type = 'user' AND strpos(id, '@') > 0 AND id <> lower(id)
 ORDER BY tenant_id, lower(id), created_at
    ON CONFLICT ON CONSTRAINT identities_pkey DO NOTHING;

UPDATE identities
   SET roles = ARRAY(SELECT DISTINCT unnest(identities.roles || spelled.roles) ORDER BY 1),
       status = CASE WHEN identities.status = 'ACTIVE' AND spelled.is_suspended THEN 'SUSPENDED' ELSE identities.status
                END
  FROM (SELECT others.tenant_id, lower(others.id) AS id, bool_or(others.status <> 'ACTIVE') AS is_suspended,
               coalesce(array_agg(DISTINCT role) FILTER (WHERE role IS NOT NULL), '{}') AS roles
          FROM identities AS others
          LEFT JOIN unnest(others.roles) AS role ON true
         WHERE others.identity_type = 'user' AND strpos(others.id, '@') > 0 AND others.id <> lower(others.id)
         GROUP BY others.tenant_id, lower(others.id)) AS spelled
 WHERE identities.tenant_id = spelled.tenant_id AND identities.id = spelled.id;

UPDATE users
   SET roles = identities.roles,
       given_roles = ARRAY(SELECT unnest(identities.roles) EXCEPT SELECT unnest(users.roles) ORDER BY 1)
  FROM identities
 WHERE identities.tenant_id = users.tenant_id AND identities.user_id = users.id AND users.status = 'ACTIVE'
   AND identities.id = 'user:' || users.email AND NOT users.roles @> identities.roles;

UPDATE tokens
   SET identity_id = lower(identity_id)
 WHERE starts_with(identity_id, 'user:') AND strpos(identity_id, '@') > 0 AND identity_id <> lower(identity_id);

INSERT INTO policy_bindings (tenant_id, id, policy_id, identity_type, identity_id, expires_at, created_at)
SELECT DISTINCT ON (tenant_id, policy_id, lower(identity_id))
       tenant_id, 'bnd_' || replace(gen_random_uuid()::text, '-', ''), policy_id, identity_type, lower(identity_id),
       expires_at, created_at
  FROM policy_bindings
 WHERE identity_type = 'user' AND strpos(identity_id, '@') > 0 AND identity_id <> lower(identity_id)
 ORDER BY tenant_id, policy_id, lower(identity_id), expires_at DESC NULLS FIRST
    ON CONFLICT ON CONSTRAINT policy_bindings_identity_key
    DO UPDATE SET expires_at = CASE WHEN policy_bindings.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
                                    ELSE greatest(policy_bindings.expires_at, excluded.expires_at) END;

-- Tellings from the future, which no telling of the present could follow.
UPDATE users SET changed_at = now() WHERE changed_at > now() + interval '5 minutes';
UPDATE groups SET changed_at = now() WHERE changed_at > now() + interval '5 minutes';
UPDATE group_members SET changed_at = now() WHERE changed_at > now() + interval '5 minutes';
UPDATE tenants SET changed_at = now() WHERE changed_at > now() + interval '5 minutes';
UPDATE partners SET changed_at = now() WHERE changed_at > now() + interval '5 minutes';

-- What processes have cached is of before.
UPDATE authority_clock SET epoch = epoch + 1;
UPDATE tenants SET authority_epoch = (SELECT epoch FROM authority_clock);
