-- title: Applications created and deleted
-- group: identity-center
-- description: Each Identity Center application (managed instances among them) that was created or deleted,
--   newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, application, status, aws_region
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.name'), target_name,
    json_extract_scalar(request_parameters, '$.instanceId'),
    json_extract_scalar(request_parameters, '$.applicationInstanceId'),
    json_extract_scalar(request_parameters, '$.applicationArn')) AS application,
  CASE
    WHEN outcome <> 'ok' THEN outcome
    WHEN event_name LIKE 'Create%' THEN 'created'
    ELSE 'deleted'
  END AS status,
  aws_region,
  source_ip,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreateManagedApplicationInstance', 'DeleteManagedApplicationInstance',
    'CreateApplicationInstance', 'DeleteApplicationInstance', 'CreateApplication', 'DeleteApplication')
ORDER BY event_time DESC, account_id, event_id
${limit}
