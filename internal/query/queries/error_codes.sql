-- title: Which errors come up
-- group: activity
-- description: Per error: how often, by how many callers, on how many actions, first and last time.
-- look-back: 30d
-- limit: 50
-- table: error, outcome, events, actors, actions, last_seen
SELECT
  COALESCE(error_code, error_message) AS error,
  outcome,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(DISTINCT event_name) AS actions,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND outcome <> 'ok'
GROUP BY 1, 2
ORDER BY events DESC, error, outcome
${limit}
