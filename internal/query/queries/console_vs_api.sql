-- title: Console or API
-- group: activity
-- description: Per caller: events by what they were made with: the console, the command line, an SDK,
--   infrastructure tools, an AWS service, anything else.
-- look-back: 30d
-- limit: 100
-- table: actor, events, console, cli, sdk, infrastructure, service, other
WITH made AS (
  SELECT
    actor,
    actor_kind,
    event_time,
    CASE
      WHEN json_extract_scalar(rest, '$.sessionCredentialFromConsole') = 'true'
        OR event_source = 'signin.amazonaws.com'
        OR lower(user_agent) LIKE '%console%' THEN 'console'
      WHEN regexp_like(lower(user_agent), 'terraform|opentofu|pulumi|cloudformation') THEN 'infrastructure'
      WHEN lower(user_agent) LIKE '%aws-cli/%' THEN 'cli'
      WHEN regexp_like(lower(user_agent), 'boto|botocore|aws-sdk|aws_sdk|jersey|java') THEN 'sdk'
      WHEN user_agent LIKE '%.amazonaws.com' OR user_agent = 'AWS Internal' THEN 'service'
      ELSE 'other'
    END AS via
  FROM events
  WHERE ${range}
    AND actor_kind <> 'service'
)
SELECT
  actor,
  actor_kind,
  COUNT(*) AS events,
  COUNT(*) FILTER (WHERE via = 'console') AS console,
  COUNT(*) FILTER (WHERE via = 'cli') AS cli,
  COUNT(*) FILTER (WHERE via = 'sdk') AS sdk,
  COUNT(*) FILTER (WHERE via = 'infrastructure') AS infrastructure,
  COUNT(*) FILTER (WHERE via = 'service') AS service,
  COUNT(*) FILTER (WHERE via = 'other') AS other,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM made
GROUP BY actor, actor_kind
ORDER BY events DESC, actor, actor_kind
${limit}
