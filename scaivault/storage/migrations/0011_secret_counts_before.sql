-- The secrets that were there before they were counted, in a row of their own for each tenant.
--
-- In one statement and so in one snapshot, in which a secret and its count are either both to be seen or neither: what
-- is there now, less what has been counted since the triggers are. Nobody is locked out while it reads; and whatever it
-- does not see is counted by its own transaction.
INSERT INTO secret_counts (tenant_id, shard, live)
SELECT tenant_id, -1, coalesce(live, 0) - coalesce(counted, 0)
  FROM (SELECT tenant_id, count(*) AS live FROM secrets WHERE deleted_at IS NULL GROUP BY tenant_id) AS present
  FULL JOIN (SELECT tenant_id, sum(live)::bigint AS counted FROM secret_counts GROUP BY tenant_id) AS since
 USING (tenant_id)
 WHERE coalesce(live, 0) <> coalesce(counted, 0);
