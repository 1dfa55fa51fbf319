-- title: Account by account
-- group: activity
-- description: Per account: events, callers, regions, errors, changes, first and last time.
-- look-back: 30d
-- limit: 0
-- table: account_id, events, actors, regions, errors, changes, first_seen, last_seen
SELECT
  account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(DISTINCT aws_region) AS regions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT read_only) AS changes,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
GROUP BY account_id
ORDER BY events DESC, account_id
${limit}
