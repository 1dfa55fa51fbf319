-- title: Actions a caller never used before
-- group: investigation
-- description: Per caller: actions whose first use lies in the range, by callers who were already known in
--   the 90 days before it.
-- look-back: 7d
-- baseline: 90d
-- limit: 100
-- param: actor pattern: callers by name, as alice or *admin*
-- table: first_seen, actor, event_source, event_name, events, outcomes
WITH uses AS (
  SELECT
    actor,
    actor_kind,
    event_source,
    event_name,
    COUNT(*) AS events,
    COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
    MIN(event_time) AS first_seen
  FROM events
  WHERE ${history}
    AND actor_kind <> 'service'
    AND lower(COALESCE(actor, '')) LIKE ${actor}
  GROUP BY actor, actor_kind, event_source, event_name
),
known AS (
  SELECT uses.*, MIN(first_seen) OVER (PARTITION BY actor, actor_kind) AS actor_since
  FROM uses
)
SELECT
  first_seen,
  actor,
  actor_kind,
  event_source,
  event_name,
  events,
  errors,
  CASE WHEN errors = 0 THEN 'ok' WHEN errors = events THEN 'refused' ELSE 'mixed' END AS outcomes,
  actor_since
FROM known
WHERE first_seen >= ${since}
  AND actor_since < ${since}
ORDER BY first_seen DESC, actor, actor_kind, event_source, event_name
${limit}
