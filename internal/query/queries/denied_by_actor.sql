-- title: Who was refused what
-- group: investigation
-- description: Per caller and action: how often a policy refused it, from how many addresses, first and
--   last time, and how often the same action succeeded.
-- look-back: 30d
-- limit: 100
-- param: actor pattern: callers by name, as alice or *admin*
-- table: actor, event_name, denied, succeeded, addresses, last_denied
SELECT
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) FILTER (WHERE outcome = 'denied') AS denied,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS succeeded,
  COUNT(DISTINCT CASE WHEN outcome = 'denied' THEN source_ip END) AS addresses,
  MIN(CASE WHEN outcome = 'denied' THEN event_time END) AS first_denied,
  MAX(CASE WHEN outcome = 'denied' THEN event_time END) AS last_denied
FROM events
WHERE ${range}
  AND lower(COALESCE(actor, '')) LIKE ${actor}
GROUP BY actor, actor_kind, event_source, event_name
HAVING COUNT(*) FILTER (WHERE outcome = 'denied') > 0
ORDER BY denied DESC, actor, actor_kind, event_source, event_name
${limit}
