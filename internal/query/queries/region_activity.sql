-- title: Region by region
-- group: activity
-- description: Per region and account: events, callers, changes, first and last time; a region that nobody
--   should use stands out.
-- look-back: 90d
-- limit: 0
-- table: aws_region, account_id, events, actors, changes, first_seen, last_seen
SELECT
  aws_region,
  account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT read_only) AS changes,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND actor_kind <> 'service'
GROUP BY aws_region, account_id
ORDER BY events DESC, aws_region, account_id
${limit}
