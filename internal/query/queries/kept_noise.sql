-- title: Noise that was kept all the same
-- group: filters
-- description: Each event that a filter would have dropped, and that was kept because a critical rule fired
--   on it, newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, filtered_by, actor, event_name, target_name, source_ip
SELECT
  event_time,
  account_id,
  filtered_by,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_name,
  source_ip,
  outcome,
  event_id
FROM events
WHERE ${range}
  AND filtered_by IS NOT NULL
ORDER BY event_time DESC, account_id, event_id
${limit}
