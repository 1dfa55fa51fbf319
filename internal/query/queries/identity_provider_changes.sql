-- title: Identity providers added and changed
-- group: permissions
-- description: Each SAML or OpenID Connect provider, server certificate or account setting of IAM that was
--   created, changed or deleted, newest first.
-- look-back: 365d
-- limit: 100
-- table: event_time, actor, event_name, target_name, source_ip, outcome
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  COALESCE(target_name,
    json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.url'),
    json_extract_scalar(request_parameters, '$.sAMLProviderArn'),
    json_extract_scalar(request_parameters, '$.openIDConnectProviderArn')) AS target_name,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE ${range}
  AND category IN ('iam', 'sso')
  AND (event_name LIKE '%SAMLProvider%' OR event_name LIKE '%OpenIDConnectProvider%'
    OR event_name LIKE '%ExternalIdPConfiguration%' OR event_name LIKE '%TrustedTokenIssuer%'
    OR event_name LIKE '%AccountPasswordPolicy' OR event_name LIKE '%AccountAlias')
  AND regexp_like(event_name, '^(Add|Create|Delete|Disable|Enable|Remove|Tag|Untag|Update)')
ORDER BY event_time DESC, account_id, event_id
${limit}
