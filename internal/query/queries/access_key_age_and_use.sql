-- title: Access keys: age and use
-- group: credentials
-- description: Per long-term access key (AKIA…) that was created or used in the range: its user, when it
--   was created (if that lies in the range), its age in days, first and last use, uses,
--   addresses, days used. Keys never used have no last_used.
-- look-back: 365d
-- limit: 100
-- table: access_key_id, user_name, created, age_days, last_used, idle_days, uses, addresses
WITH used AS (
  SELECT
    access_key_id,
    MAX(user_name) AS user_name,
    MAX(identity_account_id) AS account_id,
    COUNT(*) AS uses,
    COUNT(DISTINCT source_ip) AS addresses,
    COUNT(DISTINCT ${local_date}) AS days_used,
    MIN(event_time) AS first_used,
    MAX(event_time) AS last_used
  FROM events
  WHERE ${range}
    AND access_key_id LIKE 'AKIA%'
  GROUP BY access_key_id
),
created AS (
  SELECT
    issued_access_key_id AS access_key_id,
    MAX(COALESCE(target_name, user_name)) AS user_name,
    MAX(account_id) AS account_id,
    MAX(actor) AS created_by,
    MIN(event_time) AS created
  FROM events
  WHERE ${range}
    AND event_source = 'iam.amazonaws.com'
    AND event_name = 'CreateAccessKey'
    AND outcome = 'ok'
    AND issued_access_key_id IS NOT NULL
  GROUP BY issued_access_key_id
)
SELECT
  COALESCE(used.access_key_id, created.access_key_id) AS access_key_id,
  COALESCE(used.user_name, created.user_name) AS user_name,
  COALESCE(used.account_id, created.account_id) AS account_id,
  created.created,
  created.created_by,
  date_diff('day', CAST(created.created AS DATE), CAST(${as_of} AS DATE)) AS age_days,
  used.first_used,
  used.last_used,
  date_diff('day', CAST(used.last_used AS DATE), CAST(${as_of} AS DATE)) AS idle_days,
  COALESCE(used.uses, 0) AS uses,
  COALESCE(used.addresses, 0) AS addresses,
  COALESCE(used.days_used, 0) AS days_used
FROM used
FULL OUTER JOIN created ON used.access_key_id = created.access_key_id
ORDER BY last_used DESC, access_key_id
${limit}
