-- title: What the root users did
-- group: sign-in
-- description: Each event of a root user, newest first. Root is told by the identity's type, never by a
--   name.
-- look-back: 90d
-- limit: 100
-- table: event_time, account_id, event_name, source_ip, user_agent, aws_region, outcome
SELECT
  event_time,
  account_id,
  event_name,
  event_source,
  source_ip,
  user_agent,
  aws_region,
  outcome,
  error_code,
  error_message,
  mfa,
  target_name,
  request_parameters,
  event_id
FROM events
WHERE ${range}
  AND identity_type = 'Root'
ORDER BY event_time DESC, account_id, event_id
${limit}
