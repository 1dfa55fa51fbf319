-- title: Who was active, and how much
-- group: activity
-- description: Per caller: first and last activity, events, distinct actions, days active; most active
--   first. A role session is its own caller (role/session); AWS services are left out.
-- look-back: 30d
-- limit: 25
-- param: actor pattern: callers by name, as alice or *admin*
-- table: actor, actor_kind, events, distinct_actions, days_active, first_seen, last_seen
SELECT
  actor,
  actor_kind,
  identity_account_id,
  MAX(user_name) AS user_name,
  COUNT(*) AS events,
  COUNT(DISTINCT event_name) AS distinct_actions,
  COUNT(DISTINCT ${local_date}) AS days_active,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND actor_kind <> 'service'
  AND lower(COALESCE(actor, '')) LIKE ${actor}
GROUP BY actor, actor_kind, identity_account_id
ORDER BY events DESC, actor, actor_kind, identity_account_id
${limit}
