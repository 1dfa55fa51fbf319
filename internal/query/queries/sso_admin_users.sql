-- title: Who administers Identity Center
-- group: identity-center
-- description: Per caller: administrative Identity Center actions by what they touch (permission sets,
--   assignments, applications, users and groups, the rest), errors, first and last time.
-- look-back: 90d
-- limit: 100
-- table: actor, actions, permission_sets, assignments, applications, users_and_groups, other, errors, last_seen
WITH changes AS (
  SELECT
    actor,
    actor_kind,
    outcome,
    event_time,
    CASE
      WHEN event_name LIKE '%AccountAssignment%' OR event_name LIKE '%ssociateProfile' THEN 'assignment'
      WHEN event_name LIKE '%Application%' THEN 'application'
      WHEN event_name LIKE '%PermissionSet%' OR event_name LIKE '%PermissionsPolicy%' THEN 'permission set'
      WHEN event_name LIKE '%User%' OR event_name LIKE '%Group%' OR event_name LIKE '%Mfa%' OR event_name LIKE '%Password%' THEN 'directory'
      ELSE 'other'
    END AS kind
  FROM events
  WHERE ${range}
    AND category = 'sso'
    AND regexp_like(event_name,
      '^(Add|Associate|Attach|Complete|Create|Delete|Deregister|Detach|Disable|Disassociate|Enable|Import|Provision|Put|Register|Remove|Start|Update)')
    AND event_name NOT IN ('CreateToken', 'CreateTokenWithIAM', 'RegisterClient', 'StartDeviceAuthorization')
)
SELECT
  actor,
  actor_kind,
  COUNT(*) AS actions,
  COUNT(*) FILTER (WHERE kind = 'permission set') AS permission_sets,
  COUNT(*) FILTER (WHERE kind = 'assignment') AS assignments,
  COUNT(*) FILTER (WHERE kind = 'application') AS applications,
  COUNT(*) FILTER (WHERE kind = 'directory') AS users_and_groups,
  COUNT(*) FILTER (WHERE kind = 'other') AS other,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM changes
GROUP BY actor, actor_kind
ORDER BY actions DESC, actor, actor_kind
${limit}
