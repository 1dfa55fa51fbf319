-- title: Which tools are used
-- group: activity
-- description: Per user agent: events, callers, errors, first and last time; the rarest first, since that
--   is where a foreign tool shows.
-- look-back: 30d
-- limit: 100
-- param: actor pattern: callers by name, as alice or *admin*
-- table: user_agent, events, actors, errors, first_seen, last_seen
SELECT
  user_agent,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND lower(COALESCE(actor, '')) LIKE ${actor}
GROUP BY user_agent
ORDER BY events, user_agent
${limit}
