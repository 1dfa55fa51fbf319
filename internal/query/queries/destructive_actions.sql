-- title: Deleted, detached, disabled, stopped
-- group: investigation
-- description: Each event that takes something away (delete, remove, detach, disable, deactivate, stop,
--   terminate, disassociate, schedule for deletion), refused ones too, newest first.
-- look-back: 30d
-- limit: 100
-- param: actor pattern: callers by name, as alice or *admin*
-- table: event_time, actor, event_source, event_name, target_name, source_ip, outcome
SELECT
  event_time,
  account_id,
  aws_region,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_kind,
  target_name,
  target_arn,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND regexp_like(event_name,
    '^(Deactivate|Delete|Deregister|Detach|Disable|Disassociate|Leave|Remove|Revoke|Schedule[A-Za-z]*Deletion|Stop|Terminate)')
  AND lower(COALESCE(actor, '')) LIKE ${actor}
ORDER BY event_time DESC, account_id, event_id
${limit}
