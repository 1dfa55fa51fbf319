-- title: Callers who fell silent
-- group: investigation
-- description: IAM users and root users seen in the 365 days before the range, but not in it: candidates
--   for removal.
-- look-back: 90d
-- baseline: 365d
-- limit: 100
-- table: actor, actor_kind, identity_account_id, last_seen, events, access_keys
SELECT
  actor,
  actor_kind,
  identity_account_id,
  MAX(event_time) AS last_seen,
  MIN(event_time) AS first_seen,
  COUNT(*) AS events,
  COUNT(DISTINCT access_key_id) AS access_keys
FROM events
WHERE ${history}
  AND identity_type IN ('IAMUser', 'Root')
GROUP BY actor, actor_kind, identity_account_id
HAVING MAX(event_time) < ${since}
ORDER BY last_seen DESC, actor, actor_kind, identity_account_id
${limit}
