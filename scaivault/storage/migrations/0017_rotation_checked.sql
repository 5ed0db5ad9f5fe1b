-- What the migration before this one promised of columns that were empty then: proven now, beside readers and writers,
-- and an index to ask it by when a secret policy is deleted.
ALTER TABLE secrets VALIDATE CONSTRAINT secrets_secret_policy_fkey;
CREATE INDEX secrets_secret_policy_idx ON secrets (tenant_id, secret_policy_id) WHERE secret_policy_id IS NOT NULL;
