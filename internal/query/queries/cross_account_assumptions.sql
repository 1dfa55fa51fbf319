-- title: Roles assumed across accounts
-- group: roles
-- description: Per caller and role: assumptions where the caller's account isn't the role's.
-- look-back: 90d
-- limit: 100
-- table: caller_account, actor, role, assumptions, failures, last_seen
WITH assumed AS (
  SELECT
    identity_account_id AS caller_account,
    COALESCE(NULLIF(split_part(COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn')), ':', 5), ''), account_id) AS role_account,
    COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
    actor,
    actor_kind,
    outcome,
    event_time
  FROM events
  WHERE ${range}
    AND event_source = 'sts.amazonaws.com'
    AND event_name IN ('AssumeRole', 'AssumeRoot')
    AND actor_kind <> 'service'
)
SELECT
  caller_account,
  role_account,
  actor,
  actor_kind,
  role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM assumed
WHERE caller_account <> role_account
GROUP BY caller_account, role_account, actor, actor_kind, role
ORDER BY last_seen DESC, caller_account, role_account, actor, actor_kind, role
${limit}
