-- title: Console passwords set, changed, removed
-- group: credentials
-- description: Each console password (login profile) that was created, changed or deleted, and each
--   recovery of the root password, newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, target_name, source_ip, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  COALESCE(target_name, user_name) AS target_name,
  json_extract_scalar(request_parameters, '$.passwordResetRequired') AS reset_required,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND event_name IN ('CreateLoginProfile', 'UpdateLoginProfile', 'DeleteLoginProfile', 'ChangePassword', 'UpdatePassword',
    'PasswordUpdated', 'PasswordRecoveryRequested', 'PasswordRecoveryCompleted')
  AND category IN ('iam', 'signin', 'sso')
ORDER BY event_time DESC, account_id, event_id
${limit}
