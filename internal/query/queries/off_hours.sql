-- title: Activity out of office hours
-- group: activity
-- description: Per caller and event within the off hours (--off-hours, on the clock of --tz; the start
--   belongs to them, the end doesn't): how often, first and last time. AWS services are left
--   out.
-- look-back: 90d
-- limit: 100
-- table: actor, event_name, events, first_seen, last_seen
SELECT
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) AS events,
  COUNT(DISTINCT ${local_date}) AS days,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND ${off_hours}
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, event_source, event_name
ORDER BY events DESC, actor, actor_kind, event_source, event_name
${limit}
