-- title: What was done with a key or session
-- group: investigation
-- description: Each event made with one access key (a session's ASIA… or a user's AKIA…), in order of time,
--   and the event that issued it.
-- look-back: 90d
-- limit: 0
-- param: key text required: the access key id
-- table: event_time, event_name, actor, target_name, source_ip, aws_region, outcome
SELECT
  event_time,
  account_id,
  aws_region,
  event_source,
  event_name,
  actor,
  actor_kind,
  CASE WHEN access_key_id = ${key} THEN 'used' ELSE 'issued' END AS key_was,
  issued_access_key_id,
  target_name,
  source_ip,
  user_agent,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND (access_key_id = ${key} OR issued_access_key_id = ${key})
ORDER BY event_time, account_id, event_id
${limit}
