-- title: What Identity Center is used for
-- group: identity-center
-- description: Per Identity Center event: how often, by how many, errors and their share in percent, and
--   whether it administers or is part of normal use.
-- look-back: 30d
-- limit: 0
-- table: event_name, kind, events, users, errors, error_rate
SELECT
  event_source,
  event_name,
  CASE
    WHEN regexp_like(event_name,
      '^(Add|Associate|Attach|Complete|Create|Delete|Deregister|Detach|Disable|Disassociate|Enable|Import|Provision|Put|Register|Remove|Start|Update)')
    AND event_name NOT IN ('CreateToken', 'CreateTokenWithIAM', 'RegisterClient', 'StartDeviceAuthorization')
    THEN 'administrative'
    ELSE 'operational'
  END AS kind,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS users,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  ROUND(CAST(COUNT(*) FILTER (WHERE outcome <> 'ok') AS DOUBLE) * 100 / CAST(COUNT(*) AS DOUBLE), 1) AS error_rate
FROM events
WHERE ${range}
  AND category = 'sso'
GROUP BY event_source, event_name
ORDER BY events DESC, event_source, event_name
${limit}
