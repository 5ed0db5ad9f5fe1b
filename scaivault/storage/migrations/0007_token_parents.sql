-- A token that somebody makes for himself ends with the token it was made by.
-- The release before this one makes tokens without a parent, which go on as they did.

ALTER TABLE tokens ADD COLUMN parent_id text;
CREATE INDEX tokens_parent_idx ON tokens (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
