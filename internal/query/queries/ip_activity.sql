-- title: What came from an address
-- group: investigation
-- description: Per caller and action from one address (or, with *, a range of them): events, errors, first
--   and last time.
-- look-back: 90d
-- limit: 100
-- param: ip pattern required: the address, as 203.0.113.7 or 203.0.113.*
-- table: actor, event_name, events, errors, first_seen, last_seen
SELECT
  source_ip,
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) AS events,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND lower(source_ip) LIKE ${ip}
GROUP BY source_ip, actor, actor_kind, event_source, event_name
ORDER BY last_seen DESC, source_ip, actor, actor_kind, event_source, event_name
${limit}
