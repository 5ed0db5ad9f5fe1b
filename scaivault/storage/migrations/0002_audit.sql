-- The audit trail, a table a month. Keyset order is (occurred_at, id), newest first, under every documented filter.

CREATE TABLE audit_log (
    tenant_id     text             NOT NULL,
    occurred_at   timestamptz      NOT NULL,
    id            text             COLLATE "C" NOT NULL,
    action        text             COLLATE "C" NOT NULL,
    identity_type text             COLLATE "C" NOT NULL,
    identity_id   text             COLLATE "C" NOT NULL,
    secret_path   text             COLLATE "C",
    source_ip     inet             NOT NULL,
    user_agent    text             NOT NULL,
    success       boolean          NOT NULL,
    duration_ms   double precision NOT NULL,
    request_id    text             COLLATE "C" NOT NULL,
    trace_id      text             COLLATE "C" NOT NULL,
    extra_data    jsonb            NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, occurred_at, id)
) PARTITION BY RANGE (occurred_at);

-- One index for each filter, since a page must cost the same out of ten thousand entries and out of ten million. They
-- end in the instant: microseconds hardly ever tie, a sort of what ties is free, and without the 36 bytes of `id` an
-- index is half as large and up to half as dear to insert into, which every read of every secret does. A window needs
-- the primary key, a prefix the path index; `success` finds what is rare.
CREATE INDEX audit_log_identity_idx ON audit_log (tenant_id, identity_id, occurred_at);
CREATE INDEX audit_log_identity_type_idx ON audit_log (tenant_id, identity_type, occurred_at);
CREATE INDEX audit_log_path_idx ON audit_log (tenant_id, secret_path, occurred_at) WHERE secret_path IS NOT NULL;
CREATE INDEX audit_log_action_idx ON audit_log (tenant_id, action, occurred_at);
CREATE INDEX audit_log_request_idx ON audit_log (tenant_id, request_id, occurred_at);
CREATE INDEX audit_log_source_ip_idx ON audit_log (tenant_id, source_ip, occurred_at);
CREATE INDEX audit_log_failure_idx ON audit_log (tenant_id, occurred_at) WHERE NOT success;

-- Months are made ahead (storage of the current month and the next ones); there is no default partition, because
-- attaching a month would have to scan it. Attaching takes no lock that reads or writes would wait for.
CREATE FUNCTION audit_log_make_months(first_month date, how_many integer) RETURNS integer
LANGUAGE plpgsql AS $$
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

DO $$ BEGIN PERFORM audit_log_make_months((now() AT TIME ZONE 'UTC')::date, 7); END $$;
