-- title: The most active callers
-- group: activity
-- description: Per caller: actions, distinct actions, active days, first and last time, errors. AWS
--   services are left out.
-- look-back: 30d
-- limit: 30
-- table: actor, actor_kind, actions, distinct_actions, active_days, errors, last_seen
SELECT
  actor,
  actor_kind,
  identity_account_id,
  COUNT(*) AS actions,
  COUNT(DISTINCT event_name) AS distinct_actions,
  COUNT(DISTINCT ${local_date}) AS active_days,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, identity_account_id
ORDER BY actions DESC, actor, actor_kind, identity_account_id
${limit}
