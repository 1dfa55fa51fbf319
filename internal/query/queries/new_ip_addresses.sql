-- title: Addresses never seen before
-- group: investigation
-- description: Pairs of caller and address whose first event lies in the range, against the 90 days before
--   it; address_new tells whether nobody had used the address, actor_new whether the caller is
--   new too.
-- look-back: 7d
-- baseline: 90d
-- limit: 100
-- table: first_seen, actor, source_ip, events, address_new, actor_new
WITH pairs AS (
  SELECT actor, actor_kind, source_ip, COUNT(*) AS events, MIN(event_time) AS first_seen, MAX(event_time) AS last_seen
  FROM events
  WHERE ${history}
    AND actor_kind <> 'service'
    AND source_ip IS NOT NULL
    AND source_ip NOT LIKE '%.amazonaws.com'
    AND source_ip <> 'AWS Internal'
  GROUP BY actor, actor_kind, source_ip
),
ranked AS (
  SELECT
    pairs.*,
    MIN(first_seen) OVER (PARTITION BY source_ip) >= ${since} AS address_new,
    MIN(first_seen) OVER (PARTITION BY actor, actor_kind) >= ${since} AS actor_new
  FROM pairs
)
SELECT first_seen, actor, actor_kind, source_ip, events, address_new, actor_new, last_seen
FROM ranked
WHERE first_seen >= ${since}
ORDER BY first_seen DESC, actor, actor_kind, source_ip
${limit}
