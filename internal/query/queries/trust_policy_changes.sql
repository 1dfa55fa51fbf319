-- title: Who may assume which role
-- group: roles
-- description: Each role created or given a new trust policy, with the policy, newest first.
-- look-back: 90d
-- limit: 50
-- table: event_time, actor, event_name, role, trust_policy, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.roleName'), target_name) AS role,
  COALESCE(json_extract_scalar(request_parameters, '$.assumeRolePolicyDocument'),
    json_extract_scalar(request_parameters, '$.policyDocument')) AS trust_policy,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_source = 'iam.amazonaws.com'
  AND event_name IN ('CreateRole', 'UpdateAssumeRolePolicy')
ORDER BY event_time DESC, account_id, event_id
${limit}
