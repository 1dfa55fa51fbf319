-- title: Hour by hour of the day
-- group: activity
-- description: Per hour of the day, on the clock of --tz: events, callers, errors, and the share of errors
--   in percent.
-- look-back: 7d
-- limit: 0
-- table: hour, events, users, errors, error_rate
SELECT
  ${local_hour} AS hour,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS users,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  ROUND(CAST(COUNT(*) FILTER (WHERE outcome <> 'ok') AS DOUBLE) * 100 / CAST(COUNT(*) AS DOUBLE), 1) AS error_rate
FROM events
WHERE ${range}
GROUP BY 1
ORDER BY hour
${limit}
