-- title: Failed sign-ins and refused credentials
-- group: sign-in
-- description: Per day, caller, address, event and error: failures of ConsoleLogin and every other sign-in
--   event, and of the STS calls that hand out credentials. A record that gives no error, as
--   those of SwitchRole and CredentialVerification, says Failure, and of which credential.
-- look-back: 7d
-- limit: 100
-- table: day, actor, source_ip, event_name, error, attempts
SELECT
  ${local_date} AS day,
  actor,
  actor_kind,
  source_ip,
  event_name,
  COALESCE(error_code, error_message,
    'Failure' || COALESCE(' of ' || json_extract_scalar(additional_event_data, '$.CredentialType'), '')) AS error,
  COUNT(*) AS attempts,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND outcome IN ('denied', 'failed')
  AND (category = 'signin'
    OR (event_source = 'sts.amazonaws.com'
      AND event_name IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot',
        'GetSessionToken', 'GetFederationToken')))
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY day DESC, attempts DESC, actor, actor_kind, source_ip, event_name, error
${limit}
