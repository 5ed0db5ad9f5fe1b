-- What a partner's tenants share lives in a tenant of the partner's own id: rows, keys and trail like any other's.
-- The release before this one knows no such tenants and comes across none: nothing of its own refers to them.

ALTER TABLE tenants ADD COLUMN is_shared_space boolean NOT NULL DEFAULT false;
ALTER TABLE tenants ADD CONSTRAINT tenants_shared_space_check CHECK (is_shared_space = (id = partner_id));

INSERT INTO tenants (id, partner_id, name, is_shared_space) SELECT id, id, 'shared', true FROM partners;
