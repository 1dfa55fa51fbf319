-- title: Roles that assume roles
-- group: roles
-- description: Per pair of roles: how often a session of the one assumed the other, by how many callers,
--   first and last time.
-- look-back: 90d
-- limit: 100
-- table: from_role, to_role, assumptions, failures, actors, last_seen
SELECT
  identity_account_id AS from_account,
  role_name AS from_role,
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS to_role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT actor) AS actors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND event_source = 'sts.amazonaws.com'
  AND event_name = 'AssumeRole'
  AND identity_type = 'AssumedRole'
GROUP BY 1, 2, 3
ORDER BY assumptions DESC, failures DESC, from_account, from_role, to_role
${limit}
