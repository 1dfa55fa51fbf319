-- title: Permission sets created and updated
-- group: identity-center
-- description: Each permission set that was created or updated, newest first. An update names the set by
--   its ARN only.
-- look-back: 30d
-- limit: 100
-- table: event_time, actor, event_name, permission_set, session_duration, description, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.permissionSetArn'), target_name) AS permission_set,
  json_extract_scalar(request_parameters, '$.sessionDuration') AS session_duration,
  json_extract_scalar(request_parameters, '$.description') AS description,
  json_extract_scalar(request_parameters, '$.relayState') AS relay_state,
  aws_region,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreatePermissionSet', 'UpdatePermissionSet')
ORDER BY event_time DESC, account_id, event_id
${limit}
