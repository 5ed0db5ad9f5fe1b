-- How a webhook's last attempt went, whatever becomes of its delivery (docs/adr/0020-events-and-webhooks.md).
--
-- Safe while the previous release runs: its workers leave these as they are, until the next attempt by one of ours.

ALTER TABLE webhook_lanes
    ADD COLUMN last_attempt_failed boolean NOT NULL DEFAULT false,
    ADD COLUMN last_delivery_id    text COLLATE "C";

UPDATE webhook_lanes AS lanes
   SET last_attempt_failed = consecutive_failures > 0,
       last_delivery_id = (SELECT id
                             FROM webhook_deliveries AS deliveries
                            WHERE deliveries.tenant_id = lanes.tenant_id AND deliveries.webhook_id = lanes.webhook_id
                              AND status <> 'pending'
                            ORDER BY id DESC
                            LIMIT 1);
