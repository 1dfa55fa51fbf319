-- title: What the filters dropped
-- group: filters
-- description: Per reason, account and event: how many events were dropped as noise, first and last time.
-- look-back: 30d
-- limit: 100
-- table: reason, event_source, event_name, events, first_seen, last_seen
SELECT
  reason,
  account_id,
  event_source,
  event_name,
  COUNT(*) AS events,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM filtered
WHERE ${range}
GROUP BY reason, account_id, event_source, event_name
ORDER BY events DESC, reason, account_id, event_source, event_name
${limit}
