-- title: Callers who looked at many things
-- group: investigation
-- description: Per hour and caller: distinct reading actions (Get, List, Describe, …), where there are at
--   least so many: what reconnaissance looks like.
-- look-back: 30d
-- limit: 100
-- param: least int = 10: the fewest distinct actions in one hour
-- table: hour_start, actor, distinct_reads, reads, refused, source_ip
SELECT
  date_trunc('hour', event_time) AS hour_start,
  actor,
  actor_kind,
  COUNT(DISTINCT event_source || ':' || event_name) AS distinct_reads,
  COUNT(*) AS reads,
  COUNT(*) FILTER (WHERE outcome = 'denied') AS refused,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(source_ip) AS source_ip,
  MIN(user_agent) AS user_agent
FROM events
WHERE ${range}
  AND actor_kind <> 'service'
  AND regexp_like(event_name, '^(Describe|Get|List|Simulate|Generate|Lookup|Search)')
GROUP BY 1, 2, 3
HAVING COUNT(DISTINCT event_source || ':' || event_name) >= ${least}
ORDER BY distinct_reads DESC, hour_start DESC, actor, actor_kind
${limit}
