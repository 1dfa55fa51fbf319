-- title: Failed, then succeeded
-- group: investigation
-- description: Each success of an action right after a failure of the same action by the same caller within
--   so many minutes: a guessed password, a permission obtained in between.
-- look-back: 7d
-- limit: 100
-- param: minutes int = 60: the most minutes between failure and success
-- table: event_time, actor, event_name, failed_at, failures, error, source_ip
WITH tries AS (
  SELECT
    event_time,
    account_id,
    actor,
    actor_kind,
    event_source,
    event_name,
    outcome,
    source_ip,
    event_id,
    LAG(outcome) OVER w AS previous,
    LAG(event_time) OVER w AS failed_at,
    LAG(COALESCE(error_code, error_message)) OVER w AS error,
    LAG(source_ip) OVER w AS failed_from,
    COUNT(CASE WHEN outcome <> 'ok' THEN 1 END) OVER w AS failures
  FROM events
  WHERE ${range}
    AND actor_kind <> 'service'
  WINDOW w AS (PARTITION BY account_id, actor, actor_kind, event_source, event_name ORDER BY event_time, event_id)
)
SELECT event_time, account_id, actor, actor_kind, event_source, event_name, failed_at, failures, error, source_ip, failed_from, event_id
FROM tries
WHERE outcome = 'ok'
  AND previous <> 'ok'
  AND date_diff('second', failed_at, event_time) <= ${minutes} * 60
ORDER BY event_time DESC, account_id, event_id
${limit}
