-- title: Keys used from many places
-- group: credentials
-- description: Per access key: addresses, regions and user agents it was used with, where there is more
--   than one address; the most addresses first.
-- look-back: 30d
-- limit: 100
-- table: access_key_id, actor, addresses, regions, agents, events, last_seen
SELECT
  access_key_id,
  MAX(actor) AS actor,
  COUNT(DISTINCT source_ip) AS addresses,
  COUNT(DISTINCT aws_region) AS regions,
  COUNT(DISTINCT user_agent) AS agents,
  COUNT(*) AS events,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND access_key_id IS NOT NULL
  AND source_ip NOT LIKE '%.amazonaws.com'
  AND source_ip <> 'AWS Internal'
GROUP BY access_key_id
HAVING COUNT(DISTINCT source_ip) > 1
ORDER BY addresses DESC, events DESC, access_key_id
${limit}
