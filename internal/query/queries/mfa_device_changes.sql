-- title: MFA devices added and removed
-- group: credentials
-- description: Each MFA device that was created, enabled, deactivated, deleted or re-synchronized, in IAM
--   and in Identity Center, newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, target_name, serial_number, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_name,
  COALESCE(json_extract_scalar(request_parameters, '$.serialNumber'),
    json_extract_scalar(request_parameters, '$.virtualMFADeviceName')) AS serial_number,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND category IN ('iam', 'sso')
  AND lower(event_name) LIKE '%mfadevice%'
  AND regexp_like(event_name, '^(Complete|Create|Deactivate|Delete|Enable|Put|Resync|Start|Update)')
ORDER BY event_time DESC, account_id, event_id
${limit}
