-- title: Root, day by day
-- group: sign-in
-- description: Per day and account: what the root user did: sign-ins, failed ones, those without MFA, other
--   events, changes, addresses.
-- look-back: 365d
-- limit: 100
-- table: day, account_id, signins, failed_signins, without_mfa, other_events, changes, addresses
SELECT
  ${local_date} AS day,
  account_id,
  COUNT(*) FILTER (WHERE event_name = 'ConsoleLogin' AND outcome = 'ok') AS signins,
  COUNT(*) FILTER (WHERE event_name = 'ConsoleLogin' AND outcome <> 'ok') AS failed_signins,
  COUNT(*) FILTER (WHERE event_name = 'ConsoleLogin' AND outcome = 'ok' AND NOT mfa) AS without_mfa,
  COUNT(*) FILTER (WHERE event_name <> 'ConsoleLogin') AS other_events,
  COUNT(*) FILTER (WHERE event_name <> 'ConsoleLogin' AND NOT read_only) AS changes,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE ${range}
  AND identity_type = 'Root'
GROUP BY 1, 2
ORDER BY day DESC, account_id
${limit}
