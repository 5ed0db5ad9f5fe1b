-- How many live secrets each tenant has, counted with each change and never by walking them: whoever asks pays for the
-- number of tenants, not of secrets.
--
-- A tenant's count is the sum of a few rows, and a session always adds to the same one of them: writers of one tenant
-- rarely meet. A row may well be negative, where secrets were made by one session and deleted by another.
--
-- Deadlocks: a transaction comes to a count's row after the row of its secret and holds it until it commits; after that
-- it touches versions, tags and the trail, never the row of another secret. So who holds a count waits for nobody who
-- waits for a count. A statement that changes secrets of several tenants comes to their counts in the tenants' order.
--
-- What adds or removes is counted once a statement, however many rows it has; what changes is looked at only if it sets
-- `deleted_at`, so that new versions and last readers, which are nearly all that is written, cost nothing.
--
-- Safe while the previous release runs: its statements pass the triggers as they are. Making them waits for the writers
-- of the moment and lets nobody write meanwhile, which is no longer than a commit. What was there before is counted by
-- the next migration.
CREATE TABLE secret_counts (
    tenant_id text     NOT NULL CONSTRAINT secret_counts_tenant_id_fkey REFERENCES tenants (id) ON DELETE CASCADE,
    shard     smallint NOT NULL,
    live      bigint   NOT NULL,
    CONSTRAINT secret_counts_pkey PRIMARY KEY (tenant_id, shard)
) WITH (fillfactor = 50);  -- room for the next version of a row beside it

-- For statements that add or remove secrets.
CREATE FUNCTION secret_counts_of_statement() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- For a secret that goes into the trash or comes out of it.
CREATE FUNCTION secret_counts_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO secret_counts AS counts (tenant_id, shard, live)
    VALUES (NEW.tenant_id, pg_backend_pid() % 8, CASE WHEN NEW.deleted_at IS NULL THEN 1 ELSE -1 END)
        ON CONFLICT ON CONSTRAINT secret_counts_pkey DO UPDATE SET live = counts.live + excluded.live;
    RETURN NULL;
END
$$;

CREATE TRIGGER secrets_added AFTER INSERT ON secrets
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION secret_counts_of_statement();
CREATE TRIGGER secrets_removed AFTER DELETE ON secrets
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION secret_counts_of_statement();
CREATE TRIGGER secrets_trashed AFTER UPDATE OF deleted_at ON secrets
    FOR EACH ROW WHEN ((OLD.deleted_at IS NULL) IS DISTINCT FROM (NEW.deleted_at IS NULL))
    EXECUTE FUNCTION secret_counts_of_row();
