-- title: Day by day
-- group: activity
-- description: Per day: events, callers, distinct actions, errors, and of the events that succeeded how
--   many created, deleted, modified something or assumed a role.
-- look-back: 30d
-- limit: 0
-- table: day, events, users, actions, errors, creates, deletes, modifications, role_assumptions
SELECT
  ${local_date} AS day,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS users,
  COUNT(DISTINCT event_name) AS actions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND event_name LIKE 'Create%') AS creates,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND event_name LIKE 'Delete%') AS deletes,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND regexp_like(event_name,
    '^(Add|Attach|Change|Deactivate|Detach|Disable|Enable|Modify|Put|Remove|Reset|Resync|Set|Tag|Untag|Update|Upload)')) AS modifications,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND event_source = 'sts.amazonaws.com'
    AND event_name LIKE 'AssumeRo%') AS role_assumptions
FROM events
WHERE ${range}
GROUP BY 1
ORDER BY day DESC
${limit}
