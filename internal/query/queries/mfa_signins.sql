-- title: Console sign-ins and MFA
-- group: sign-in
-- description: Per caller: console sign-ins with MFA, without, and where the record doesn't tell; failures.
--   IAM users and root come first: for federated sign-ins and role sessions MFA is the identity
--   provider's business, and "without" says nothing.
-- look-back: 90d
-- limit: 100
-- table: actor, identity_type, signins, with_mfa, without_mfa, failed
SELECT
  actor,
  actor_kind,
  identity_type,
  account_id,
  CASE WHEN identity_type IN ('IAMUser', 'Root') THEN 'AWS' ELSE 'identity provider' END AS mfa_asked_by,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS signins,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND mfa) AS with_mfa,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT mfa) AS without_mfa,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND mfa IS NULL) AS not_recorded,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failed,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND event_source = 'signin.amazonaws.com'
  AND event_name = 'ConsoleLogin'
GROUP BY 1, 2, 3, 4, 5
ORDER BY mfa_asked_by, without_mfa DESC, signins DESC, actor, actor_kind, identity_type, account_id
${limit}
