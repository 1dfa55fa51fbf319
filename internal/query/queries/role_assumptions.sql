-- title: Which roles were assumed, and by whom
-- group: roles
-- description: Per role and assuming caller: assumptions, days, first and last time, failures. A refused
--   call may not record the role it asked for; such rows have no role.
-- look-back: 90d
-- limit: 100
-- table: role, actor, assumptions, failures, last_seen
SELECT
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
  actor,
  actor_kind,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT ${local_date}) AS days,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND event_source = 'sts.amazonaws.com'
  AND event_name IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot')
GROUP BY 1, 2, 3
ORDER BY assumptions DESC, failures DESC, role, actor, actor_kind
${limit}
