-- How attempts went that were made before migration 0019, as far as they ended a delivery. By itself, so that no lane is
-- locked for longer than its own row; in the order in which dispatchers lock them; by index, so that no queue is read
-- through.

WITH held AS (
    SELECT tenant_id, webhook_id
      FROM webhook_lanes
     WHERE last_delivery_id IS NULL
     ORDER BY tenant_id, webhook_id
       FOR UPDATE
)
UPDATE webhook_lanes AS lanes
   SET last_attempt_failed = consecutive_failures > 0,
       last_delivery_id = greatest(
           (SELECT max(id) FROM webhook_deliveries AS deliveries
             WHERE deliveries.tenant_id = held.tenant_id AND deliveries.webhook_id = held.webhook_id
               AND status = 'success'),
           (SELECT max(id) FROM webhook_deliveries AS deliveries
             WHERE deliveries.tenant_id = held.tenant_id AND deliveries.webhook_id = held.webhook_id
               AND status = 'failed'))
  FROM held
 WHERE lanes.tenant_id = held.tenant_id AND lanes.webhook_id = held.webhook_id;
