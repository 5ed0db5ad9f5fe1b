-- Rotation: how often secrets are renewed, which of them are due, and what came of it (docs/adr/0021-rotation.md).
--
-- A schedule has a row of its own, beside the secret's: it changes with every step, and what a step rewrites is narrow,
-- and the indexes by which workers find what is due hold nothing of the secrets that no policy renews.
--
-- Safe while the previous release runs: its statements need nothing new. What it writes is no rotation, and what it
-- deletes and recovers leaves and joins the schedule as with this one, by the trigger.
CREATE TABLE rotation_policies (
    tenant_id         text        NOT NULL CONSTRAINT rotation_policies_tenant_id_fkey REFERENCES tenants (id),
    id                text        COLLATE "C" NOT NULL,
    name              text        COLLATE "C" NOT NULL,
    description       text        NOT NULL,
    interval_seconds  bigint      NOT NULL CONSTRAINT rotation_policies_interval_check CHECK (interval_seconds > 0),
    grace_seconds     bigint      NOT NULL CONSTRAINT rotation_policies_grace_check CHECK (grace_seconds >= 0),
    warn_seconds      bigint[]    NOT NULL,
    auto_generate     boolean     NOT NULL,
    secret_policy_id  text        COLLATE "C",
    webhook_ids       text[]      NOT NULL,
    is_active         boolean     NOT NULL,
    revision          integer     NOT NULL,
    -- Which of its changes touched the schedule: secrets scheduled under an older one are to be scheduled anew.
    schedule_revision integer     NOT NULL DEFAULT 1,
    is_settled        boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    -- Deleted for everybody: it stays for as long as secrets are still to be detached from it, a batch at a time.
    removed_at        timestamptz,
    CONSTRAINT rotation_policies_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT rotation_policies_secret_policy_fkey FOREIGN KEY (tenant_id, secret_policy_id)
        REFERENCES secret_policies (tenant_id, id)
);
CREATE UNIQUE INDEX rotation_policies_name_key ON rotation_policies (tenant_id, name) WHERE removed_at IS NULL;
CREATE INDEX rotation_policies_secret_policy_idx ON rotation_policies (tenant_id, secret_policy_id)
    WHERE secret_policy_id IS NOT NULL;
CREATE INDEX rotation_policies_unsettled_idx ON rotation_policies (updated_at)
    WHERE NOT is_settled OR removed_at IS NOT NULL;

-- `due_at` is `counts_from` and the policy's interval; `wake_at` is when a worker is to look at it again, for a warning,
-- at the due time, after a failure or at the end of the grace period: NULL if there is nothing to come by itself.
CREATE TABLE secret_rotations (
    tenant_id         text        NOT NULL,
    path              text        COLLATE "C" NOT NULL,
    policy_id         text        COLLATE "C" NOT NULL,
    schedule_revision integer     NOT NULL,
    counts_from       timestamptz NOT NULL,
    rotated_at        timestamptz,
    state             text        NOT NULL CONSTRAINT secret_rotations_state_check
                                  CHECK (state IN ('scheduled', 'awaited', 'overdue', 'paused')),
    due_at            timestamptz CONSTRAINT secret_rotations_due_check CHECK ((due_at IS NULL) = (state = 'paused')),
    wake_at           timestamptz,
    failures          integer     NOT NULL DEFAULT 0,
    history_id        text        COLLATE "C",
    is_deleted        boolean     NOT NULL DEFAULT false,
    CONSTRAINT secret_rotations_pkey PRIMARY KEY (tenant_id, path),
    CONSTRAINT secret_rotations_secret_fkey FOREIGN KEY (tenant_id, path)
        REFERENCES secrets (tenant_id, path) ON DELETE CASCADE,
    CONSTRAINT secret_rotations_policy_fkey FOREIGN KEY (tenant_id, policy_id)
        REFERENCES rotation_policies (tenant_id, id)
) WITH (fillfactor = 80);
CREATE INDEX secret_rotations_wake_idx ON secret_rotations (wake_at, tenant_id)
    WHERE wake_at IS NOT NULL AND NOT is_deleted;
CREATE INDEX secret_rotations_tenant_wake_idx ON secret_rotations (tenant_id, wake_at)
    WHERE wake_at IS NOT NULL AND NOT is_deleted;
CREATE INDEX secret_rotations_due_idx ON secret_rotations (tenant_id, due_at, path)
    WHERE due_at IS NOT NULL AND NOT is_deleted;
CREATE INDEX secret_rotations_policy_idx ON secret_rotations (tenant_id, policy_id, schedule_revision, path);
CREATE INDEX secret_rotations_queue_idx ON secret_rotations (due_at)
    WHERE state = 'scheduled' AND NOT is_deleted;
CREATE INDEX secret_rotations_overdue_idx ON secret_rotations (tenant_id, path)
    WHERE state = 'overdue' AND NOT is_deleted;

CREATE TABLE rotation_history (
    tenant_id         text        NOT NULL CONSTRAINT rotation_history_tenant_id_fkey REFERENCES tenants (id),
    id                text        COLLATE "C" NOT NULL,
    policy_id         text        COLLATE "C",
    path              text        COLLATE "C" NOT NULL,
    status            text        NOT NULL CONSTRAINT rotation_history_status_check
                                  CHECK (status IN ('success', 'failed', 'pending')),
    triggered_by      text        NOT NULL CONSTRAINT rotation_history_trigger_check
                                  CHECK (triggered_by IN ('schedule', 'request', 'write')),
    identity_id       text        NOT NULL,
    attempts          integer     NOT NULL,
    reason            text,
    due_at            timestamptz,
    started_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    old_version       integer,
    new_version       integer,
    grace_period_ends timestamptz,
    CONSTRAINT rotation_history_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX rotation_history_policy_idx ON rotation_history (tenant_id, policy_id, id);
CREATE INDEX rotation_history_status_idx ON rotation_history (tenant_id, policy_id, status, id);
CREATE INDEX rotation_history_path_idx ON rotation_history (tenant_id, path, id);
CREATE INDEX rotation_history_started_at_idx ON rotation_history (started_at);

-- What a reader of the secret is shown; the columns are empty, so that what holds for them is proven at no cost.
ALTER TABLE secrets ADD COLUMN rotation_policy_id text COLLATE "C";
ALTER TABLE secrets ADD COLUMN secret_policy_id text COLLATE "C";
ALTER TABLE secrets ADD CONSTRAINT secrets_secret_policy_fkey FOREIGN KEY (tenant_id, secret_policy_id)
    REFERENCES secret_policies (tenant_id, id) NOT VALID;
-- Until when the version may be read: set when a rotation has replaced it, never of the current one.
ALTER TABLE secret_versions ADD COLUMN readable_until timestamptz;

CREATE FUNCTION secret_rotations_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE secret_rotations SET is_deleted = NEW.deleted_at IS NOT NULL
     WHERE tenant_id = NEW.tenant_id AND path = NEW.path;
    RETURN NULL;
END
$$;
CREATE TRIGGER secrets_leave_schedule AFTER UPDATE OF deleted_at ON secrets
    FOR EACH ROW WHEN (NEW.rotation_policy_id IS NOT NULL
                       AND (OLD.deleted_at IS NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION secret_rotations_follow();

-- What waited for a new value waits no more when its secret is gone, or renewed by nothing.
CREATE FUNCTION secret_rotations_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rotation_history
     WHERE tenant_id = OLD.tenant_id AND id = OLD.history_id AND status = 'pending';
    RETURN NULL;
END
$$;
CREATE TRIGGER secret_rotations_closed AFTER DELETE ON secret_rotations
    FOR EACH ROW WHEN (OLD.history_id IS NOT NULL) EXECUTE FUNCTION secret_rotations_close();
