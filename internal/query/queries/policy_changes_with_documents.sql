-- title: Policy changes with their documents
-- group: permissions
-- description: Each event that carries a policy document (inline, managed, trust, permission set), with the
--   document as it was recorded, newest first.
-- look-back: 90d
-- limit: 50
-- param: target pattern: what the policy belongs to, by name
-- table: event_time, actor, event_name, target_name, policy, document, outcome
WITH changes AS (
  SELECT
    event_time,
    account_id,
    actor,
    actor_kind,
    event_source,
    event_name,
    target_name,
    target_arn,
    COALESCE(json_extract_scalar(request_parameters, '$.policyName'),
      json_extract_scalar(request_parameters, '$.policyArn'),
      json_extract_scalar(request_parameters, '$.permissionSetArn')) AS policy,
    COALESCE(json_extract_scalar(request_parameters, '$.policyDocument'),
      json_extract_scalar(request_parameters, '$.assumeRolePolicyDocument'),
      json_extract_scalar(request_parameters, '$.inlinePolicy'),
      json_extract_scalar(request_parameters, '$.permissionsPolicy')) AS document,
    source_ip,
    outcome,
    error_code,
    event_id
  FROM events
  WHERE ${range}
    AND category IN ('iam', 'sso')
    AND (event_name LIKE 'Put%Policy%' OR event_name LIKE 'Create%' OR event_name LIKE 'Update%Policy%')
    AND lower(COALESCE(target_name, '')) LIKE ${target}
)
SELECT *
FROM changes
WHERE document IS NOT NULL
ORDER BY event_time DESC, account_id, event_id
${limit}
