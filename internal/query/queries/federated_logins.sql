-- title: Sign-ins through an identity provider
-- group: sign-in
-- description: Per caller and role: sessions obtained through SAML, OpenID Connect and Identity Center,
--   failures, first and last time.
-- look-back: 30d
-- limit: 100
-- table: actor, event_name, provider, role, logins, failures, last_seen
SELECT
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(response_elements, '$.provider'),
    json_extract_scalar(request_parameters, '$.principalArn'),
    json_extract_scalar(request_parameters, '$.sAMLAssertionID'),
    json_extract_scalar(request_parameters, '$.providerId'),
    json_extract_scalar(additional_event_data, '$.SamlProviderArn')) AS provider,
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS logins,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND ((event_source = 'sts.amazonaws.com' AND event_name IN ('AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity'))
    OR (event_source = 'sso.amazonaws.com' AND event_name IN ('Federate', 'GetRoleCredentials'))
    OR (event_source = 'signin.amazonaws.com' AND event_name = 'UserAuthentication')
    OR (event_source = 'signin.amazonaws.com' AND event_name = 'ConsoleLogin'
      AND json_extract_scalar(additional_event_data, '$.SamlProviderArn') IS NOT NULL))
GROUP BY 1, 2, 3, 4, 5
ORDER BY logins DESC, failures DESC, actor, actor_kind, event_name, provider, role
${limit}
