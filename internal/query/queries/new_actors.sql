-- title: Callers never seen before
-- group: investigation
-- description: Callers whose first event lies in the range, against the 90 days before it.
-- look-back: 7d
-- baseline: 90d
-- limit: 100
-- table: first_seen, actor, actor_kind, events, actions, source_ip, account_id
SELECT
  MIN(event_time) AS first_seen,
  actor,
  actor_kind,
  identity_account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT event_name) AS actions,
  COUNT(DISTINCT source_ip) AS addresses,
  min_by(source_ip, event_time) AS source_ip,
  min_by(account_id, event_time) AS account_id,
  MAX(event_time) AS last_seen
FROM events
WHERE ${history}
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, identity_account_id
HAVING MIN(event_time) >= ${since}
ORDER BY first_seen DESC, actor, actor_kind, identity_account_id
${limit}
