-- title: Account assignments created and deleted
-- group: identity-center
-- description: Each grant of a permission set to a user or group in an account, and each withdrawal, newest
--   first.
-- look-back: 30d
-- limit: 100
-- table: event_time, actor, event_name, principal_type, principal_id, target_account, permission_set, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  json_extract_scalar(request_parameters, '$.principalId') AS principal_id,
  json_extract_scalar(request_parameters, '$.principalType') AS principal_type,
  json_extract_scalar(request_parameters, '$.targetId') AS target_account,
  json_extract_scalar(request_parameters, '$.permissionSetArn') AS permission_set,
  aws_region,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreateAccountAssignment', 'DeleteAccountAssignment', 'AssociateProfile', 'DisassociateProfile')
ORDER BY event_time DESC, account_id, event_id
${limit}
