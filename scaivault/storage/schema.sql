-- The whole schema: what all migrations come to. Made by `python -m tests.contract.schema`; never edited, never run.
-- Left out: the months of the audit trail, which are made as time passes, and the migration library's own tables.

CREATE FUNCTION public.audit_log_make_months(first_month date, how_many integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    month_start date;
    partition   text;
    made        integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_log_make_months'));
    FOR offset_months IN 0 .. how_many - 1 LOOP
        month_start := date_trunc('month', first_month)::date + make_interval(months => offset_months);
        partition := 'audit_log_' || to_char(month_start, 'YYYY_MM');
        IF to_regclass(partition) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE audit_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
            -- A prefix of one entry in a hundred is best found by walking the month, one in ten thousand by its paths.
            -- The planner can tell them apart only by a fine histogram: with the usual 100 steps it was wrong by 60.
            EXECUTE format('ALTER TABLE %I ALTER COLUMN secret_path SET STATISTICS 1000', partition);
            EXECUTE format(
                'ALTER TABLE audit_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition,
                to_char(month_start, 'YYYY-MM-DD') || ' 00:00:00+00',
                to_char(month_start + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;

CREATE FUNCTION public.secret_counts_of_row() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO secret_counts AS counts (tenant_id, shard, live)
    VALUES (NEW.tenant_id, pg_backend_pid() % 8, CASE WHEN NEW.deleted_at IS NULL THEN 1 ELSE -1 END)
        ON CONFLICT ON CONSTRAINT secret_counts_pkey DO UPDATE SET live = counts.live + excluded.live;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.secret_counts_of_statement() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO secret_counts AS counts (tenant_id, shard, live)
    SELECT tenant_id, pg_backend_pid() % 8, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
      FROM changed
     WHERE deleted_at IS NULL
     GROUP BY tenant_id
     ORDER BY tenant_id
        ON CONFLICT ON CONSTRAINT secret_counts_pkey DO UPDATE SET live = counts.live + excluded.live;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.secret_rotations_close() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM rotation_history
     WHERE tenant_id = OLD.tenant_id AND id = OLD.history_id AND status = 'pending';
    RETURN NULL;
END
$$;

CREATE FUNCTION public.secret_rotations_follow() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE secret_rotations SET is_deleted = NEW.deleted_at IS NOT NULL
     WHERE tenant_id = NEW.tenant_id AND path = NEW.path;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.secrets_next_notice(ends_at timestamp with time zone, before integer[], after timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT min(instant)
      FROM (SELECT ends_at - make_interval(secs => seconds) AS instant
              FROM unnest(coalesce(before, '{2592000,604800,86400}') || 0) AS seconds) AS notices
     WHERE instant > after
$$;

CREATE FUNCTION public.secrets_set_notice() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.notice_due_at := CASE WHEN NEW.deleted_at IS NULL
        THEN secrets_next_notice(NEW.expires_at, NEW.notify_before, now()) END;
    RETURN NEW;
END
$$;

CREATE FUNCTION public.tenant_keys_name_partner() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    SELECT partner_id INTO NEW.partner_id FROM tenants WHERE id = NEW.tenant_id;
    RETURN NEW;
END
$$;

CREATE TABLE public.audit_log (
    tenant_id text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    identity_type text NOT NULL COLLATE pg_catalog."C",
    identity_id text NOT NULL COLLATE pg_catalog."C",
    secret_path text COLLATE pg_catalog."C",
    source_ip inet NOT NULL,
    user_agent text NOT NULL,
    success boolean NOT NULL,
    duration_ms double precision NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    trace_id text NOT NULL COLLATE pg_catalog."C",
    extra_data jsonb NOT NULL
)
PARTITION BY RANGE (occurred_at);

CREATE TABLE public.authority_clock (
    is_single boolean DEFAULT true NOT NULL,
    epoch bigint NOT NULL,
    CONSTRAINT authority_clock_is_single_check CHECK (is_single)
);

CREATE TABLE public.buffered_events (
    tenant_id text NOT NULL,
    subscription_id text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    is_heard boolean DEFAULT false NOT NULL
);

CREATE TABLE public.directory_events (
    event_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.directory_syncs (
    id text NOT NULL COLLATE pg_catalog."C",
    partner_id text COLLATE pg_catalog."C",
    only_tenant_id text COLLATE pg_catalog."C",
    requested_by text NOT NULL,
    home_tenant_id text,
    status text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    leased_until timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    tenants integer DEFAULT 0 NOT NULL,
    users integer DEFAULT 0 NOT NULL,
    groups integer DEFAULT 0 NOT NULL,
    members integer DEFAULT 0 NOT NULL,
    changed integer DEFAULT 0 NOT NULL,
    deleted integer DEFAULT 0 NOT NULL,
    refused integer DEFAULT 0 NOT NULL,
    error_code text,
    CONSTRAINT directory_syncs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text])))
);

CREATE TABLE public.events (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    event_type text NOT NULL COLLATE pg_catalog."C",
    occurred_at timestamp with time zone NOT NULL,
    request_id text NOT NULL,
    path text COLLATE pg_catalog."C",
    secret_type text,
    tags text[] NOT NULL,
    body text NOT NULL,
    is_dispatched boolean DEFAULT false NOT NULL,
    order_key text COLLATE pg_catalog."C",
    also_to text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    trace_id text COLLATE pg_catalog."C"
);

ALTER TABLE public.events ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.events_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.group_members (
    tenant_id text NOT NULL,
    group_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    membership_type text NOT NULL,
    is_member boolean NOT NULL,
    added_at timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL
);

CREATE TABLE public.groups (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    last_synced_at timestamp with time zone NOT NULL,
    CONSTRAINT groups_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'DELETED'::text])))
);

CREATE TABLE public.identities (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    identity_type text NOT NULL,
    display_name text NOT NULL,
    groups text[] DEFAULT '{}'::text[] NOT NULL,
    roles text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    user_id text COLLATE pg_catalog."C",
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    CONSTRAINT identities_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'DELETED'::text]))),
    CONSTRAINT identities_type_check CHECK ((identity_type = ANY (ARRAY['user'::text, 'service_account'::text])))
);

CREATE TABLE public.key_rotations (
    kind text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    CONSTRAINT key_rotations_kind_check CHECK ((kind = ANY (ARRAY['root'::text, 'partner'::text, 'tenant'::text])))
);

CREATE TABLE public.partner_keys (
    partner_id text NOT NULL,
    version integer NOT NULL,
    wrapped bytea NOT NULL,
    kms_key_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT partner_keys_version_check CHECK ((version > 0))
);

CREATE TABLE public.partners (
    id text NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    slug text,
    region text,
    changed_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    last_synced_at timestamp with time zone,
    CONSTRAINT partners_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'DELETED'::text])))
);

CREATE TABLE public.policies (
    tenant_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL,
    rules jsonb NOT NULL,
    is_active boolean NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);

CREATE TABLE public.policy_bindings (
    tenant_id text NOT NULL,
    id text NOT NULL,
    policy_id text NOT NULL,
    identity_type text NOT NULL,
    identity_id text NOT NULL COLLATE pg_catalog."C",
    expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT policy_bindings_type_check CHECK ((identity_type = ANY (ARRAY['user'::text, 'service_account'::text, 'group'::text])))
);

CREATE TABLE public.rotation_history (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    policy_id text COLLATE pg_catalog."C",
    path text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL,
    triggered_by text NOT NULL,
    identity_id text NOT NULL,
    attempts integer NOT NULL,
    reason text,
    due_at timestamp with time zone,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    old_version integer,
    new_version integer,
    grace_period_ends timestamp with time zone,
    CONSTRAINT rotation_history_status_check CHECK ((status = ANY (ARRAY['success'::text, 'failed'::text, 'pending'::text]))),
    CONSTRAINT rotation_history_trigger_check CHECK ((triggered_by = ANY (ARRAY['schedule'::text, 'request'::text, 'write'::text])))
);

CREATE TABLE public.rotation_policies (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL,
    interval_seconds bigint NOT NULL,
    grace_seconds bigint NOT NULL,
    warn_seconds bigint[] NOT NULL,
    auto_generate boolean NOT NULL,
    secret_policy_id text COLLATE pg_catalog."C",
    webhook_ids text[] NOT NULL,
    is_active boolean NOT NULL,
    revision integer NOT NULL,
    schedule_revision integer DEFAULT 1 NOT NULL,
    is_settled boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT rotation_policies_grace_check CHECK ((grace_seconds >= 0)),
    CONSTRAINT rotation_policies_interval_check CHECK ((interval_seconds > 0))
);

CREATE TABLE public.secret_counts (
    tenant_id text NOT NULL,
    shard smallint NOT NULL,
    live bigint NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE public.secret_policies (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL,
    policy_type text NOT NULL,
    fields jsonb NOT NULL,
    is_active boolean NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT secret_policies_type_check CHECK ((policy_type = ANY (ARRAY['password'::text, 'api_key'::text, 'oauth_client'::text, 'ssh_key'::text, 'custom'::text])))
);

CREATE TABLE public.secret_rotations (
    tenant_id text NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    policy_id text NOT NULL COLLATE pg_catalog."C",
    schedule_revision integer NOT NULL,
    counts_from timestamp with time zone NOT NULL,
    rotated_at timestamp with time zone,
    state text NOT NULL,
    due_at timestamp with time zone,
    wake_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    history_id text COLLATE pg_catalog."C",
    is_deleted boolean DEFAULT false NOT NULL,
    CONSTRAINT secret_rotations_due_check CHECK (((due_at IS NULL) = (state = 'paused'::text))),
    CONSTRAINT secret_rotations_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'awaited'::text, 'overdue'::text, 'paused'::text])))
)
WITH (fillfactor='80');

CREATE TABLE public.secret_tags (
    tenant_id text NOT NULL,
    tag text NOT NULL COLLATE pg_catalog."C",
    path text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE public.secret_versions (
    tenant_id text NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    sealed bytea,
    wrapped_key bytea,
    created_at timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    destroyed_at timestamp with time zone,
    key_version integer GENERATED ALWAYS AS (
CASE
    WHEN ((SUBSTRING(wrapped_key FROM 1 FOR 4) = '\x53560102'::bytea) AND (length(wrapped_key) >= 8)) THEN ((((get_byte(wrapped_key, 4) << 24) | (get_byte(wrapped_key, 5) << 16)) | (get_byte(wrapped_key, 6) << 8)) | get_byte(wrapped_key, 7))
    ELSE NULL::integer
END) STORED,
    readable_until timestamp with time zone,
    CONSTRAINT secret_versions_destroyed_check CHECK ((((destroyed_at IS NULL) = ((sealed IS NOT NULL) AND (wrapped_key IS NOT NULL))) AND ((sealed IS NULL) = (wrapped_key IS NULL)))),
    CONSTRAINT secret_versions_version_check CHECK ((version > 0))
);
ALTER TABLE ONLY public.secret_versions ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TABLE public.secrets (
    tenant_id text NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    secret_type text NOT NULL,
    current_version integer NOT NULL,
    metadata jsonb NOT NULL,
    max_versions integer NOT NULL,
    expires_in_seconds bigint,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    deleted_at timestamp with time zone,
    recoverable_until timestamp with time zone,
    last_accessed_at timestamp with time zone,
    last_accessed_by text,
    notify_before integer[],
    notice_due_at timestamp with time zone,
    rotation_policy_id text COLLATE pg_catalog."C",
    secret_policy_id text COLLATE pg_catalog."C",
    CONSTRAINT secrets_current_version_check CHECK ((current_version > 0)),
    CONSTRAINT secrets_deleted_check CHECK (((deleted_at IS NULL) = (recoverable_until IS NULL))),
    CONSTRAINT secrets_max_versions_check CHECK (((max_versions >= 1) AND (max_versions <= 100))),
    CONSTRAINT secrets_type_check CHECK ((secret_type = ANY (ARRAY['kv'::text, 'json'::text, 'certificate'::text, 'ssh_key'::text, 'api_key'::text])))
);

CREATE TABLE public.subscription_buffers (
    tenant_id text NOT NULL,
    subscription_id text NOT NULL COLLATE pg_catalog."C",
    last_position bigint DEFAULT 0 NOT NULL,
    heard bigint DEFAULT 0 NOT NULL,
    told_missing bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.subscriptions (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    owner_id text NOT NULL COLLATE pg_catalog."C",
    owner_type text NOT NULL,
    owner_groups text[] NOT NULL,
    paths text[] NOT NULL,
    events text[] NOT NULL,
    path_prefix text NOT NULL COLLATE pg_catalog."C",
    secret_type text,
    tags text[] NOT NULL,
    delivery_type text NOT NULL,
    buffer_size integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    revision integer DEFAULT 1 NOT NULL,
    CONSTRAINT subscriptions_delivery_check CHECK ((delivery_type = ANY (ARRAY['polling'::text, 'webhook'::text]))),
    CONSTRAINT subscriptions_events_check CHECK ((cardinality(events) > 0)),
    CONSTRAINT subscriptions_paths_check CHECK ((cardinality(paths) > 0))
);

CREATE TABLE public.tenants (
    id text NOT NULL,
    partner_id text NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'ACTIVE'::text NOT NULL,
    authority_epoch bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    is_shared_space boolean DEFAULT false NOT NULL,
    slug text,
    changed_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    last_synced_at timestamp with time zone,
    CONSTRAINT tenants_shared_space_check CHECK ((is_shared_space = (id = partner_id))),
    CONSTRAINT tenants_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'DELETED'::text])))
);

CREATE VIEW public.suspended_subscriptions AS
 SELECT tenant_id,
    id
   FROM public.subscriptions
  WHERE ((delivery_type = 'webhook'::text) AND (NOT (EXISTS ( SELECT
           FROM ((public.identities
             JOIN public.tenants ON ((tenants.id = identities.tenant_id)))
             JOIN public.partners ON ((partners.id = tenants.partner_id)))
          WHERE ((identities.tenant_id = subscriptions.tenant_id) AND (identities.id = subscriptions.owner_id) AND (identities.status = 'ACTIVE'::text) AND (tenants.status = 'ACTIVE'::text) AND (partners.status = 'ACTIVE'::text) AND (identities.roles && ARRAY['tenant_admin'::text, 'partner_admin'::text, 'super_admin'::text]))))));

CREATE TABLE public.system_keys (
    purpose text NOT NULL,
    version integer NOT NULL,
    wrapped bytea NOT NULL,
    kms_key_id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.tenant_keys (
    tenant_id text NOT NULL,
    version integer NOT NULL,
    wrapped bytea NOT NULL,
    wrapping_version integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    partner_id text NOT NULL,
    CONSTRAINT tenant_keys_version_check CHECK ((version > 0))
);

CREATE TABLE public.tokens (
    id text NOT NULL,
    tenant_id text NOT NULL,
    identity_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    scopes text[] NOT NULL,
    digest bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    parent_id text,
    user_id text COLLATE pg_catalog."C"
);

CREATE TABLE public.trusts (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    issuer text NOT NULL COLLATE pg_catalog."C",
    jwks_url text,
    audience text NOT NULL,
    claims jsonb NOT NULL,
    identity_id text NOT NULL COLLATE pg_catalog."C",
    scopes text[] NOT NULL,
    lifetime_seconds integer NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT trusts_claims_check CHECK ((claims ? 'sub'::text)),
    CONSTRAINT trusts_lifetime_check CHECK (((lifetime_seconds >= 60) AND (lifetime_seconds <= 43200)))
);

CREATE TABLE public.untold_users (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT untold_users_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'DELETED'::text])))
);

CREATE TABLE public.users (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    email text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL,
    status text NOT NULL,
    mfa_enabled boolean NOT NULL,
    roles text[] NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    last_synced_at timestamp with time zone NOT NULL,
    given_roles text[] DEFAULT '{}'::text[] NOT NULL,
    given_groups text[] DEFAULT '{}'::text[] NOT NULL,
    told_roles text[],
    CONSTRAINT users_status_check CHECK ((status = ANY (ARRAY['ACTIVE'::text, 'SUSPENDED'::text, 'DELETED'::text])))
);

CREATE TABLE public.webhook_deliveries (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    sequence bigint NOT NULL,
    path text COLLATE pg_catalog."C",
    status text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    attempted_at timestamp with time zone,
    response_code integer,
    duration_ms double precision,
    error text,
    CONSTRAINT webhook_deliveries_next_check CHECK (((status = 'pending'::text) OR (next_attempt_at IS NULL))),
    CONSTRAINT webhook_deliveries_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'success'::text, 'failed'::text])))
);

CREATE TABLE public.webhook_hours (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL COLLATE pg_catalog."C",
    hour timestamp with time zone NOT NULL,
    succeeded integer NOT NULL,
    failed integer NOT NULL,
    milliseconds double precision NOT NULL
);

CREATE TABLE public.webhook_lanes (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL COLLATE pg_catalog."C",
    due_at timestamp with time zone,
    leased_until timestamp with time zone,
    lease text,
    consecutive_failures integer DEFAULT 0 NOT NULL,
    last_attempt_failed boolean DEFAULT false NOT NULL,
    last_delivery_id text COLLATE pg_catalog."C"
);

CREATE TABLE public.webhook_secrets (
    tenant_id text NOT NULL,
    webhook_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    sealed bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    expires_at timestamp with time zone,
    key_version integer GENERATED ALWAYS AS (
CASE
    WHEN ((SUBSTRING(wrapped_key FROM 1 FOR 4) = '\x53560102'::bytea) AND (length(wrapped_key) >= 8)) THEN ((((get_byte(wrapped_key, 4) << 24) | (get_byte(wrapped_key, 5) << 16)) | (get_byte(wrapped_key, 6) << 8)) | get_byte(wrapped_key, 7))
    ELSE NULL::integer
END) STORED,
    CONSTRAINT webhook_secrets_version_check CHECK ((version > 0))
);

CREATE TABLE public.webhooks (
    tenant_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    url text NOT NULL,
    events text[] NOT NULL,
    path_prefix text NOT NULL COLLATE pg_catalog."C",
    secret_type text,
    tags text[] NOT NULL,
    is_enabled boolean NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    is_of_subscription boolean DEFAULT false NOT NULL,
    revision integer DEFAULT 1 NOT NULL,
    CONSTRAINT webhooks_events_check CHECK ((cardinality(events) > 0))
);

CREATE TABLE public.workers (
    id text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL
);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, occurred_at, id);

ALTER TABLE ONLY public.authority_clock
    ADD CONSTRAINT authority_clock_pkey PRIMARY KEY (is_single);

ALTER TABLE ONLY public.buffered_events
    ADD CONSTRAINT buffered_events_event_key UNIQUE (tenant_id, event_id, subscription_id);

ALTER TABLE ONLY public.buffered_events
    ADD CONSTRAINT buffered_events_pkey PRIMARY KEY (tenant_id, subscription_id, "position");

ALTER TABLE ONLY public.directory_events
    ADD CONSTRAINT directory_events_pkey PRIMARY KEY (event_id);

ALTER TABLE ONLY public.directory_syncs
    ADD CONSTRAINT directory_syncs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_pkey PRIMARY KEY (tenant_id, group_id, user_id);

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.key_rotations
    ADD CONSTRAINT key_rotations_pkey PRIMARY KEY (kind);

ALTER TABLE ONLY public.partner_keys
    ADD CONSTRAINT partner_keys_pkey PRIMARY KEY (partner_id, version);

ALTER TABLE ONLY public.partners
    ADD CONSTRAINT partners_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_name_key UNIQUE (tenant_id, name);

ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.policy_bindings
    ADD CONSTRAINT policy_bindings_identity_key UNIQUE (tenant_id, policy_id, identity_type, identity_id);

ALTER TABLE ONLY public.policy_bindings
    ADD CONSTRAINT policy_bindings_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.rotation_history
    ADD CONSTRAINT rotation_history_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.rotation_policies
    ADD CONSTRAINT rotation_policies_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.secret_counts
    ADD CONSTRAINT secret_counts_pkey PRIMARY KEY (tenant_id, shard);

ALTER TABLE ONLY public.secret_policies
    ADD CONSTRAINT secret_policies_name_key UNIQUE (tenant_id, name);

ALTER TABLE ONLY public.secret_policies
    ADD CONSTRAINT secret_policies_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.secret_rotations
    ADD CONSTRAINT secret_rotations_pkey PRIMARY KEY (tenant_id, path);

ALTER TABLE ONLY public.secret_tags
    ADD CONSTRAINT secret_tags_pkey PRIMARY KEY (tenant_id, tag, path);

ALTER TABLE ONLY public.secret_versions
    ADD CONSTRAINT secret_versions_pkey PRIMARY KEY (tenant_id, path, version);

ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (tenant_id, path);

ALTER TABLE ONLY public.subscription_buffers
    ADD CONSTRAINT subscription_buffers_pkey PRIMARY KEY (tenant_id, subscription_id);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.system_keys
    ADD CONSTRAINT system_keys_pkey PRIMARY KEY (purpose);

ALTER TABLE ONLY public.tenant_keys
    ADD CONSTRAINT tenant_keys_pkey PRIMARY KEY (tenant_id, version);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.trusts
    ADD CONSTRAINT trusts_name_key UNIQUE (tenant_id, name);

ALTER TABLE ONLY public.trusts
    ADD CONSTRAINT trusts_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.untold_users
    ADD CONSTRAINT untold_users_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, webhook_id, id);

ALTER TABLE ONLY public.webhook_hours
    ADD CONSTRAINT webhook_hours_pkey PRIMARY KEY (tenant_id, webhook_id, hour);

ALTER TABLE ONLY public.webhook_lanes
    ADD CONSTRAINT webhook_lanes_pkey PRIMARY KEY (tenant_id, webhook_id);

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_pkey PRIMARY KEY (tenant_id, webhook_id, version);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

CREATE INDEX audit_log_action_idx ON ONLY public.audit_log USING btree (tenant_id, action, occurred_at);

CREATE INDEX audit_log_failure_idx ON ONLY public.audit_log USING btree (tenant_id, occurred_at) WHERE (NOT success);

CREATE INDEX audit_log_identity_idx ON ONLY public.audit_log USING btree (tenant_id, identity_id, occurred_at);

CREATE INDEX audit_log_identity_type_idx ON ONLY public.audit_log USING btree (tenant_id, identity_type, occurred_at);

CREATE INDEX audit_log_path_idx ON ONLY public.audit_log USING btree (tenant_id, secret_path, occurred_at) WHERE (secret_path IS NOT NULL);

CREATE INDEX audit_log_request_idx ON ONLY public.audit_log USING btree (tenant_id, request_id, occurred_at);

CREATE INDEX audit_log_source_ip_idx ON ONLY public.audit_log USING btree (tenant_id, source_ip, occurred_at);

CREATE INDEX buffered_events_waiting_idx ON public.buffered_events USING btree (tenant_id, subscription_id, "position") WHERE (NOT is_heard);

CREATE INDEX directory_events_received_at_idx ON public.directory_events USING btree (received_at);

CREATE INDEX directory_syncs_due_idx ON public.directory_syncs USING btree (started_at) WHERE (status = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE UNIQUE INDEX directory_syncs_queued_idx ON public.directory_syncs USING btree (COALESCE(partner_id, ''::text), COALESCE(only_tenant_id, ''::text)) WHERE (status = 'queued'::text);

CREATE INDEX directory_syncs_started_at_idx ON public.directory_syncs USING btree (started_at);

CREATE INDEX events_occurred_at_idx ON public.events USING btree (occurred_at);

CREATE INDEX events_undispatched_idx ON public.events USING btree (sequence) WHERE (NOT is_dispatched);

CREATE INDEX group_members_user_idx ON public.group_members USING btree (tenant_id, user_id);

CREATE INDEX identities_user_idx ON public.identities USING btree (tenant_id, user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX policy_bindings_subject_idx ON public.policy_bindings USING btree (tenant_id, identity_type, identity_id);

CREATE INDEX rotation_history_path_idx ON public.rotation_history USING btree (tenant_id, path, id);

CREATE INDEX rotation_history_policy_idx ON public.rotation_history USING btree (tenant_id, policy_id, id);

CREATE INDEX rotation_history_started_at_idx ON public.rotation_history USING btree (started_at);

CREATE INDEX rotation_history_status_idx ON public.rotation_history USING btree (tenant_id, policy_id, status, id);

CREATE UNIQUE INDEX rotation_policies_name_key ON public.rotation_policies USING btree (tenant_id, name) WHERE (removed_at IS NULL);

CREATE INDEX rotation_policies_secret_policy_idx ON public.rotation_policies USING btree (tenant_id, secret_policy_id) WHERE (secret_policy_id IS NOT NULL);

CREATE INDEX rotation_policies_unsettled_idx ON public.rotation_policies USING btree (updated_at) WHERE ((NOT is_settled) OR (removed_at IS NOT NULL));

CREATE INDEX secret_rotations_due_idx ON public.secret_rotations USING btree (tenant_id, due_at, path) WHERE ((due_at IS NOT NULL) AND (NOT is_deleted));

CREATE INDEX secret_rotations_overdue_idx ON public.secret_rotations USING btree (tenant_id, path) WHERE ((state = 'overdue'::text) AND (NOT is_deleted));

CREATE INDEX secret_rotations_policy_idx ON public.secret_rotations USING btree (tenant_id, policy_id, schedule_revision, path);

CREATE INDEX secret_rotations_queue_idx ON public.secret_rotations USING btree (due_at) WHERE ((state = 'scheduled'::text) AND (NOT is_deleted));

CREATE INDEX secret_rotations_tenant_wake_idx ON public.secret_rotations USING btree (tenant_id, wake_at) WHERE ((wake_at IS NOT NULL) AND (NOT is_deleted));

CREATE INDEX secret_rotations_wake_idx ON public.secret_rotations USING btree (wake_at, tenant_id) WHERE ((wake_at IS NOT NULL) AND (NOT is_deleted));

CREATE INDEX secret_tags_path_idx ON public.secret_tags USING btree (tenant_id, path);

CREATE INDEX secret_versions_key_idx ON public.secret_versions USING btree (tenant_id, key_version);

CREATE INDEX secrets_expires_at_idx ON public.secrets USING btree (tenant_id, expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX secrets_notice_idx ON public.secrets USING btree (notice_due_at) WHERE (notice_due_at IS NOT NULL);

CREATE INDEX secrets_owner_idx ON public.secrets USING btree (tenant_id, ((metadata ->> 'owner'::text)), path) WHERE (metadata ? 'owner'::text);

CREATE INDEX secrets_secret_policy_idx ON public.secrets USING btree (tenant_id, secret_policy_id) WHERE (secret_policy_id IS NOT NULL);

CREATE INDEX secrets_type_idx ON public.secrets USING btree (tenant_id, secret_type, path);

CREATE INDEX subscriptions_delivered_idx ON public.subscriptions USING btree (tenant_id, id) WHERE (delivery_type = 'webhook'::text);

CREATE INDEX subscriptions_owner_idx ON public.subscriptions USING btree (tenant_id, owner_id, id);

CREATE INDEX tenants_authority_epoch_idx ON public.tenants USING btree (authority_epoch);

CREATE INDEX tenants_partner_id_idx ON public.tenants USING btree (partner_id);

CREATE INDEX tokens_parent_idx ON public.tokens USING btree (tenant_id, parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX tokens_tenant_identity_idx ON public.tokens USING btree (tenant_id, identity_id, id);

CREATE INDEX tokens_user_idx ON public.tokens USING btree (tenant_id, user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX trusts_issuer_idx ON public.trusts USING btree (tenant_id, issuer, id);

CREATE INDEX users_email_idx ON public.users USING btree (tenant_id, email);

CREATE INDEX webhook_deliveries_due_idx ON public.webhook_deliveries USING btree (tenant_id, webhook_id, next_attempt_at, sequence) WHERE (next_attempt_at IS NOT NULL);

CREATE INDEX webhook_deliveries_event_idx ON public.webhook_deliveries USING btree (tenant_id, event_id);

CREATE INDEX webhook_deliveries_path_idx ON public.webhook_deliveries USING btree (tenant_id, webhook_id, path, sequence) WHERE ((status = 'pending'::text) AND (path IS NOT NULL));

CREATE INDEX webhook_deliveries_status_idx ON public.webhook_deliveries USING btree (tenant_id, webhook_id, status, id);

CREATE INDEX webhook_lanes_due_idx ON public.webhook_lanes USING btree (due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX webhook_secrets_key_idx ON public.webhook_secrets USING btree (tenant_id, key_version);

CREATE TRIGGER secret_rotations_closed AFTER DELETE ON public.secret_rotations FOR EACH ROW WHEN ((old.history_id IS NOT NULL)) EXECUTE FUNCTION public.secret_rotations_close();

CREATE TRIGGER secrets_added AFTER INSERT ON public.secrets REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.secret_counts_of_statement();

CREATE TRIGGER secrets_leave_schedule AFTER UPDATE OF deleted_at ON public.secrets FOR EACH ROW WHEN (((new.rotation_policy_id IS NOT NULL) AND ((old.deleted_at IS NULL) IS DISTINCT FROM (new.deleted_at IS NULL)))) EXECUTE FUNCTION public.secret_rotations_follow();

CREATE TRIGGER secrets_notice_on_insert BEFORE INSERT ON public.secrets FOR EACH ROW WHEN ((new.expires_at IS NOT NULL)) EXECUTE FUNCTION public.secrets_set_notice();

CREATE TRIGGER secrets_notice_on_update BEFORE UPDATE OF expires_at, notify_before, deleted_at ON public.secrets FOR EACH ROW WHEN ((((old.expires_at IS DISTINCT FROM new.expires_at) OR (old.notify_before IS DISTINCT FROM new.notify_before)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.secrets_set_notice();

CREATE TRIGGER secrets_removed AFTER DELETE ON public.secrets REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.secret_counts_of_statement();

CREATE TRIGGER secrets_trashed AFTER UPDATE OF deleted_at ON public.secrets FOR EACH ROW WHEN (((old.deleted_at IS NULL) IS DISTINCT FROM (new.deleted_at IS NULL))) EXECUTE FUNCTION public.secret_counts_of_row();

CREATE TRIGGER tenant_keys_name_partner BEFORE INSERT ON public.tenant_keys FOR EACH ROW WHEN ((new.partner_id IS NULL)) EXECUTE FUNCTION public.tenant_keys_name_partner();

ALTER TABLE ONLY public.buffered_events
    ADD CONSTRAINT buffered_events_buffer_fkey FOREIGN KEY (tenant_id, subscription_id) REFERENCES public.subscription_buffers(tenant_id, subscription_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.buffered_events
    ADD CONSTRAINT buffered_events_event_fkey FOREIGN KEY (tenant_id, event_id) REFERENCES public.events(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES public.groups(tenant_id, id);

ALTER TABLE ONLY public.group_members
    ADD CONSTRAINT group_members_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES public.users(tenant_id, id);

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.partner_keys
    ADD CONSTRAINT partner_keys_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);

ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.policy_bindings
    ADD CONSTRAINT policy_bindings_policy_fkey FOREIGN KEY (tenant_id, policy_id) REFERENCES public.policies(tenant_id, id);

ALTER TABLE ONLY public.rotation_history
    ADD CONSTRAINT rotation_history_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.rotation_policies
    ADD CONSTRAINT rotation_policies_secret_policy_fkey FOREIGN KEY (tenant_id, secret_policy_id) REFERENCES public.secret_policies(tenant_id, id);

ALTER TABLE ONLY public.rotation_policies
    ADD CONSTRAINT rotation_policies_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.secret_counts
    ADD CONSTRAINT secret_counts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.secret_policies
    ADD CONSTRAINT secret_policies_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.secret_rotations
    ADD CONSTRAINT secret_rotations_policy_fkey FOREIGN KEY (tenant_id, policy_id) REFERENCES public.rotation_policies(tenant_id, id);

ALTER TABLE ONLY public.secret_rotations
    ADD CONSTRAINT secret_rotations_secret_fkey FOREIGN KEY (tenant_id, path) REFERENCES public.secrets(tenant_id, path) ON DELETE CASCADE;

ALTER TABLE ONLY public.secret_tags
    ADD CONSTRAINT secret_tags_secret_fkey FOREIGN KEY (tenant_id, path) REFERENCES public.secrets(tenant_id, path) ON DELETE CASCADE;

ALTER TABLE ONLY public.secret_versions
    ADD CONSTRAINT secret_versions_key_fkey FOREIGN KEY (tenant_id, key_version) REFERENCES public.tenant_keys(tenant_id, version);

ALTER TABLE ONLY public.secret_versions
    ADD CONSTRAINT secret_versions_secret_fkey FOREIGN KEY (tenant_id, path) REFERENCES public.secrets(tenant_id, path) ON DELETE CASCADE;

ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_secret_policy_fkey FOREIGN KEY (tenant_id, secret_policy_id) REFERENCES public.secret_policies(tenant_id, id);

ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.subscription_buffers
    ADD CONSTRAINT subscription_buffers_subscription_fkey FOREIGN KEY (tenant_id, subscription_id) REFERENCES public.subscriptions(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.tenant_keys
    ADD CONSTRAINT tenant_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.tenant_keys
    ADD CONSTRAINT tenant_keys_wrapping_fkey FOREIGN KEY (partner_id, wrapping_version) REFERENCES public.partner_keys(partner_id, version);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_partner_id_fkey FOREIGN KEY (partner_id) REFERENCES public.partners(id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_identity_fkey FOREIGN KEY (tenant_id, identity_id) REFERENCES public.identities(tenant_id, id);

ALTER TABLE ONLY public.trusts
    ADD CONSTRAINT trusts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.untold_users
    ADD CONSTRAINT untold_users_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (tenant_id, event_id) REFERENCES public.events(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_hours
    ADD CONSTRAINT webhook_hours_webhook_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_lanes
    ADD CONSTRAINT webhook_lanes_webhook_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_key_fkey FOREIGN KEY (tenant_id, key_version) REFERENCES public.tenant_keys(tenant_id, version);

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_webhook_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);
