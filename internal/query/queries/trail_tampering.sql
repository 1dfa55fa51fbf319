-- title: Changes of the trails themselves
-- group: investigation
-- description: Each change of CloudTrail's own configuration: trails stopped, deleted, narrowed, event data
--   stores removed, refused attempts too, newest first.
-- look-back: 365d
-- limit: 100
-- table: event_time, actor, event_name, target_name, source_ip, outcome
SELECT
  event_time,
  account_id,
  aws_region,
  actor,
  actor_kind,
  event_name,
  COALESCE(target_name,
    json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.trailName'),
    json_extract_scalar(request_parameters, '$.eventDataStore')) AS target_name,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_source = 'cloudtrail.amazonaws.com'
  AND regexp_like(event_name, '^(Create|Delete|Deregister|Disable|Enable|Put|Register|Restore|Start|Stop|Update)(Trail|Logging|Event|Insight|Organization|Ingestion|Federation|Resource)')
ORDER BY event_time DESC, account_id, event_id
${limit}
