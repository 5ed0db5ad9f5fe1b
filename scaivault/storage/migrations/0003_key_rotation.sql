-- Which key wraps what, as PostgreSQL itself can prove it: no version of a key can be removed while a row is under it,
-- and no row can come under one that was removed (docs/adr/0007-key-rotation.md).
--
-- Safe while the previous release runs: its statements need nothing new. While this is applied they wait for the copy
-- of secret_versions that a stored column takes (8 s for a million versions on two busy cores); a vault that holds
-- millions applies it in a quiet hour.

-- Read off the header (crypto/aead.py: "SV", format 1, kind 2, then the version), so that whoever writes the row, this
-- release or the previous one, can not have the two disagree. NULL is what no key opens: destroyed, or not our form.
ALTER TABLE secret_versions ADD COLUMN key_version integer GENERATED ALWAYS AS (
    CASE WHEN substring(wrapped_key FROM 1 FOR 4) = '\x53560102'::bytea AND length(wrapped_key) >= 8
         THEN (get_byte(wrapped_key, 4) << 24) | (get_byte(wrapped_key, 5) << 16)
              | (get_byte(wrapped_key, 6) << 8) | get_byte(wrapped_key, 7)
    END) STORED;
CREATE INDEX secret_versions_key_idx ON secret_versions (tenant_id, key_version);
ALTER TABLE secret_versions ADD CONSTRAINT secret_versions_key_fkey
    FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version);

ALTER TABLE tenant_keys ADD COLUMN partner_id text;
UPDATE tenant_keys SET partner_id = tenants.partner_id FROM tenants WHERE tenants.id = tenant_keys.tenant_id;
ALTER TABLE tenant_keys ALTER COLUMN partner_id SET NOT NULL;
ALTER TABLE tenant_keys ADD CONSTRAINT tenant_keys_wrapping_fkey
    FOREIGN KEY (partner_id, wrapping_version) REFERENCES partner_keys (partner_id, version);

-- For the previous release, which does not know the column. A later release names it and drops this.
CREATE FUNCTION tenant_keys_name_partner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT partner_id INTO NEW.partner_id FROM tenants WHERE id = NEW.tenant_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER tenant_keys_name_partner BEFORE INSERT ON tenant_keys
    FOR EACH ROW WHEN (NEW.partner_id IS NULL) EXECUTE FUNCTION tenant_keys_name_partner();

-- When a key of each kind was last renewed: a row a kind, for the health page.
CREATE TABLE key_rotations (
    kind        text        CONSTRAINT key_rotations_pkey PRIMARY KEY
                            CONSTRAINT key_rotations_kind_check CHECK (kind IN ('root', 'partner', 'tenant')),
    finished_at timestamptz NOT NULL
);
