-- Who is told by right of somebody, and who is told by name (docs/adr/0021-rotation.md, docs/adr/0022-subscriptions.md).
--
-- Safe while the previous release runs: it tells whom it told, and nobody by name.

-- What nobody asks for takes an administrator, for as long as it goes on: subscriptions that are delivered although their
-- owner does not administer the tenant any more, or could not sign in to it, by what the vault itself knows. A role that
-- a token alone tells of is over with the token.
CREATE VIEW suspended_subscriptions AS
SELECT subscriptions.tenant_id, subscriptions.id
  FROM subscriptions
 WHERE subscriptions.delivery_type = 'webhook'
   AND NOT EXISTS (SELECT
                     FROM identities
                     JOIN tenants ON tenants.id = identities.tenant_id
                     JOIN partners ON partners.id = tenants.partner_id
                    WHERE identities.tenant_id = subscriptions.tenant_id AND identities.id = subscriptions.owner_id
                      AND identities.status = 'ACTIVE' AND tenants.status = 'ACTIVE' AND partners.status = 'ACTIVE'
                      AND identities.roles && ARRAY['tenant_admin', 'partner_admin', 'super_admin']);
CREATE INDEX subscriptions_delivered_idx ON subscriptions (tenant_id, id) WHERE delivery_type = 'webhook';

-- Webhooks that are told of an event although they do not listen for its type: ids, of this tenant.
ALTER TABLE events ADD COLUMN also_to text[] COLLATE "C" NOT NULL DEFAULT '{}';

-- Rotation policies name webhooks that are there, and no subscriptions, from now on; so they do from the beginning.
UPDATE rotation_policies
   SET webhook_ids = ARRAY(SELECT named.id
                             FROM unnest(webhook_ids) WITH ORDINALITY AS named (id, place)
                             JOIN webhooks ON webhooks.tenant_id = rotation_policies.tenant_id
                                          AND webhooks.id = named.id AND NOT webhooks.is_of_subscription
                            ORDER BY named.place)
 WHERE webhook_ids <> '{}';
