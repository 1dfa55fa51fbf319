-- The lake's tables and queries for Amazon Athena (engine 3), printed by iamtrack.
-- Run the two CREATE statements once, with your bucket's name in place of YOUR-BUCKET.
-- The partitions are computed (partition projection): no crawler, no MSCK REPAIR.
-- Every query names its range on event_date, which is what bounds the bytes scanned.

CREATE EXTERNAL TABLE IF NOT EXISTS events (
  event_id string,
  event_time timestamp,
  account_id string,
  aws_region string,
  event_source string,
  event_name string,
  event_type string,
  category string,
  outcome string,
  read_only boolean,
  error_code string,
  error_message string,
  source_ip string,
  user_agent string,
  identity_type string,
  identity_arn string,
  principal_id string,
  identity_account_id string,
  user_name string,
  role_name string,
  session_name string,
  access_key_id string,
  invoked_by string,
  mfa boolean,
  target_kind string,
  target_name string,
  target_arn string,
  issued_access_key_id string,
  actor string,
  actor_kind string,
  actor_chain string,
  request_parameters string,
  response_elements string,
  additional_event_data string,
  resources string,
  rest string,
  event_version string,
  filtered_by string
)
PARTITIONED BY (event_date date)
STORED AS PARQUET
LOCATION 's3://YOUR-BUCKET/events/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.event_date.format' = 'yyyy-MM-dd',
  'projection.event_date.interval' = '1',
  'projection.event_date.interval.unit' = 'DAYS',
  'projection.event_date.range' = '2013-11-01,NOW+1DAY',
  'projection.event_date.type' = 'date',
  'storage.location.template' = 's3://YOUR-BUCKET/events/event_date=${event_date}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS filtered (
  event_id string,
  event_time timestamp,
  account_id string,
  aws_region string,
  event_source string,
  event_name string,
  reason string
)
PARTITIONED BY (event_date date)
STORED AS PARQUET
LOCATION 's3://YOUR-BUCKET/filtered/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.event_date.format' = 'yyyy-MM-dd',
  'projection.event_date.interval' = '1',
  'projection.event_date.interval.unit' = 'DAYS',
  'projection.event_date.range' = '2013-11-01,NOW+1DAY',
  'projection.event_date.type' = 'date',
  'storage.location.template' = 's3://YOUR-BUCKET/filtered/event_date=${event_date}/'
);

-- access_key_age_and_use: Access keys: age and use
-- Per long-term access key (AKIA…) that was created or used in the range: its user, when it
-- was created (if that lies in the range), its age in days, first and last use, uses,
-- addresses, days used. Keys never used have no last_used.
WITH used AS (
  SELECT
    access_key_id,
    MAX(user_name) AS user_name,
    MAX(identity_account_id) AS account_id,
    COUNT(*) AS uses,
    COUNT(DISTINCT source_ip) AS addresses,
    COUNT(DISTINCT CAST(CASE WHEN event_time < TIMESTAMP '2025-10-26 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE)) AS days_used,
    MIN(event_time) AS first_used,
    MAX(event_time) AS last_used
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '365' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '365' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
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
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '365' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '365' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
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
  date_diff('day', CAST(created.created AS DATE), CAST(CAST(current_timestamp AS TIMESTAMP) AS DATE)) AS age_days,
  used.first_used,
  used.last_used,
  date_diff('day', CAST(used.last_used AS DATE), CAST(CAST(current_timestamp AS TIMESTAMP) AS DATE)) AS idle_days,
  COALESCE(used.uses, 0) AS uses,
  COALESCE(used.addresses, 0) AS addresses,
  COALESCE(used.days_used, 0) AS days_used
FROM used
FULL OUTER JOIN created ON used.access_key_id = created.access_key_id
ORDER BY last_used DESC, access_key_id
LIMIT 100;

-- account_overview: Account by account
-- Per account: events, callers, regions, errors, changes, first and last time.
SELECT
  account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(DISTINCT aws_region) AS regions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT read_only) AS changes,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
GROUP BY account_id
ORDER BY events DESC, account_id;

-- active_users: The most active callers
-- Per caller: actions, distinct actions, active days, first and last time, errors. AWS
-- services are left out.
SELECT
  actor,
  actor_kind,
  identity_account_id,
  COUNT(*) AS actions,
  COUNT(DISTINCT event_name) AS distinct_actions,
  COUNT(DISTINCT CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE)) AS active_days,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, identity_account_id
ORDER BY actions DESC, actor, actor_kind, identity_account_id
LIMIT 30;

-- console_password_changes: Console passwords set, changed, removed
-- Each console password (login profile) that was created, changed or deleted, and each
-- recovery of the root password, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  COALESCE(target_name, user_name) AS target_name,
  json_extract_scalar(request_parameters, '$.passwordResetRequired') AS reset_required,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_name IN ('CreateLoginProfile', 'UpdateLoginProfile', 'DeleteLoginProfile', 'ChangePassword', 'UpdatePassword',
    'PasswordUpdated', 'PasswordRecoveryRequested', 'PasswordRecoveryCompleted')
  AND category IN ('iam', 'signin', 'sso')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- console_vs_api: Console or API
-- Per caller: events by what they were made with: the console, the command line, an SDK,
-- infrastructure tools, an AWS service, anything else.
WITH made AS (
  SELECT
    actor,
    actor_kind,
    event_time,
    CASE
      WHEN json_extract_scalar(rest, '$.sessionCredentialFromConsole') = 'true'
        OR event_source = 'signin.amazonaws.com'
        OR lower(user_agent) LIKE '%console%' THEN 'console'
      WHEN regexp_like(lower(user_agent), 'terraform|opentofu|pulumi|cloudformation') THEN 'infrastructure'
      WHEN lower(user_agent) LIKE '%aws-cli/%' THEN 'cli'
      WHEN regexp_like(lower(user_agent), 'boto|botocore|aws-sdk|aws_sdk|jersey|java') THEN 'sdk'
      WHEN user_agent LIKE '%.amazonaws.com' OR user_agent = 'AWS Internal' THEN 'service'
      ELSE 'other'
    END AS via
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND actor_kind <> 'service'
)
SELECT
  actor,
  actor_kind,
  COUNT(*) AS events,
  COUNT(*) FILTER (WHERE via = 'console') AS console,
  COUNT(*) FILTER (WHERE via = 'cli') AS cli,
  COUNT(*) FILTER (WHERE via = 'sdk') AS sdk,
  COUNT(*) FILTER (WHERE via = 'infrastructure') AS infrastructure,
  COUNT(*) FILTER (WHERE via = 'service') AS service,
  COUNT(*) FILTER (WHERE via = 'other') AS other,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM made
GROUP BY actor, actor_kind
ORDER BY events DESC, actor, actor_kind
LIMIT 100;

-- cross_account_assumptions: Roles assumed across accounts
-- Per caller and role: assumptions where the caller's account isn't the role's.
WITH assumed AS (
  SELECT
    identity_account_id AS caller_account,
    COALESCE(NULLIF(split_part(COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn')), ':', 5), ''), account_id) AS role_account,
    COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
    actor,
    actor_kind,
    outcome,
    event_time
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND event_source = 'sts.amazonaws.com'
    AND event_name IN ('AssumeRole', 'AssumeRoot')
    AND actor_kind <> 'service'
)
SELECT
  caller_account,
  role_account,
  actor,
  actor_kind,
  role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM assumed
WHERE caller_account <> role_account
GROUP BY caller_account, role_account, actor, actor_kind, role
ORDER BY last_seen DESC, caller_account, role_account, actor, actor_kind, role
LIMIT 100;

-- daily_summary: Day by day
-- Per day: events, callers, distinct actions, errors, and of the events that succeeded how
-- many created, deleted, modified something or assumed a role.
SELECT
  CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE) AS day,
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
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
GROUP BY 1
ORDER BY day DESC;

-- denied_by_actor: Who was refused what
-- Per caller and action: how often a policy refused it, from how many addresses, first and
-- last time, and how often the same action succeeded.
-- actor = *: callers by name, as alice or *admin*
SELECT
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) FILTER (WHERE outcome = 'denied') AS denied,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS succeeded,
  COUNT(DISTINCT CASE WHEN outcome = 'denied' THEN source_ip END) AS addresses,
  MIN(CASE WHEN outcome = 'denied' THEN event_time END) AS first_denied,
  MAX(CASE WHEN outcome = 'denied' THEN event_time END) AS last_denied
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND lower(COALESCE(actor, '')) LIKE lower('%') ESCAPE '\'
GROUP BY actor, actor_kind, event_source, event_name
HAVING COUNT(*) FILTER (WHERE outcome = 'denied') > 0
ORDER BY denied DESC, actor, actor_kind, event_source, event_name
LIMIT 100;

-- destructive_actions: Deleted, detached, disabled, stopped
-- Each event that takes something away (delete, remove, detach, disable, deactivate, stop,
-- terminate, disassociate, schedule for deletion), refused ones too, newest first.
-- actor = *: callers by name, as alice or *admin*
SELECT
  event_time,
  account_id,
  aws_region,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_kind,
  target_name,
  target_arn,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND regexp_like(event_name,
    '^(Deactivate|Delete|Deregister|Detach|Disable|Disassociate|Leave|Remove|Revoke|Schedule[A-Za-z]*Deletion|Stop|Terminate)')
  AND lower(COALESCE(actor, '')) LIKE lower('%') ESCAPE '\'
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- dormant_actors: Callers who fell silent
-- IAM users and root users seen in the 365 days before the range, but not in it: candidates
-- for removal.
SELECT
  actor,
  actor_kind,
  identity_account_id,
  MAX(event_time) AS last_seen,
  MIN(event_time) AS first_seen,
  COUNT(*) AS events,
  COUNT(DISTINCT access_key_id) AS access_keys
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '455' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '455' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND identity_type IN ('IAMUser', 'Root')
GROUP BY actor, actor_kind, identity_account_id
HAVING MAX(event_time) < CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP)
ORDER BY last_seen DESC, actor, actor_kind, identity_account_id
LIMIT 100;

-- enumeration: Callers who looked at many things
-- Per hour and caller: distinct reading actions (Get, List, Describe, …), where there are at
-- least so many: what reconnaissance looks like.
-- least = 10: the fewest distinct actions in one hour
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
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND actor_kind <> 'service'
  AND regexp_like(event_name, '^(Describe|Get|List|Simulate|Generate|Lookup|Search)')
GROUP BY 1, 2, 3
HAVING COUNT(DISTINCT event_source || ':' || event_name) >= 10
ORDER BY distinct_reads DESC, hour_start DESC, actor, actor_kind
LIMIT 100;

-- error_codes: Which errors come up
-- Per error: how often, by how many callers, on how many actions, first and last time.
SELECT
  COALESCE(error_code, error_message) AS error,
  outcome,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(DISTINCT event_name) AS actions,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND outcome <> 'ok'
GROUP BY 1, 2
ORDER BY events DESC, error, outcome
LIMIT 50;

-- failed_auth: Failed sign-ins and refused credentials
-- Per day, caller, address, event and error: failures of ConsoleLogin and every other sign-in
-- event, and of the STS calls that hand out credentials. A record that gives no error, as
-- those of SwitchRole and CredentialVerification, says Failure, and of which credential.
SELECT
  CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE) AS day,
  actor,
  actor_kind,
  source_ip,
  event_name,
  COALESCE(error_code, error_message,
    'Failure' || COALESCE(' of ' || json_extract_scalar(additional_event_data, '$.CredentialType'), '')) AS error,
  COUNT(*) AS attempts,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '7' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND outcome IN ('denied', 'failed')
  AND (category = 'signin'
    OR (event_source = 'sts.amazonaws.com'
      AND event_name IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot',
        'GetSessionToken', 'GetFederationToken')))
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY day DESC, attempts DESC, actor, actor_kind, source_ip, event_name, error
LIMIT 100;

-- failed_then_succeeded: Failed, then succeeded
-- Each success of an action right after a failure of the same action by the same caller within
-- so many minutes: a guessed password, a permission obtained in between.
-- minutes = 60: the most minutes between failure and success
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
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '7' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND actor_kind <> 'service'
  WINDOW w AS (PARTITION BY account_id, actor, actor_kind, event_source, event_name ORDER BY event_time, event_id)
)
SELECT event_time, account_id, actor, actor_kind, event_source, event_name, failed_at, failures, error, source_ip, failed_from, event_id
FROM tries
WHERE outcome = 'ok'
  AND previous <> 'ok'
  AND date_diff('second', failed_at, event_time) <= 60 * 60
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- federated_logins: Sign-ins through an identity provider
-- Per caller and role: sessions obtained through SAML, OpenID Connect and Identity Center,
-- failures, first and last time.
SELECT
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(response_elements, '$.provider'),
    json_extract_scalar(request_parameters, '$.principalArn'),
    json_extract_scalar(request_parameters, '$.sAMLAssertionID'),
    json_extract_scalar(request_parameters, '$.providerId'),
    json_extract_scalar(additional_event_data, '$.SamlProviderArn')) AS provider,
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS logins,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND ((event_source = 'sts.amazonaws.com' AND event_name IN ('AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity'))
    OR (event_source = 'sso.amazonaws.com' AND event_name IN ('Federate', 'GetRoleCredentials'))
    OR (event_source = 'signin.amazonaws.com' AND event_name = 'UserAuthentication')
    OR (event_source = 'signin.amazonaws.com' AND event_name = 'ConsoleLogin'
      AND json_extract_scalar(additional_event_data, '$.SamlProviderArn') IS NOT NULL))
GROUP BY 1, 2, 3, 4, 5
ORDER BY logins DESC, failures DESC, actor, actor_kind, event_name, provider, role
LIMIT 100;

-- filtered_summary: What the filters dropped
-- Per reason, account and event: how many events were dropped as noise, first and last time.
SELECT
  reason,
  account_id,
  event_source,
  event_name,
  COUNT(*) AS events,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM filtered
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
GROUP BY reason, account_id, event_source, event_name
ORDER BY events DESC, reason, account_id, event_source, event_name
LIMIT 100;

-- first_use_of_action: Actions a caller never used before
-- Per caller: actions whose first use lies in the range, by callers who were already known in
-- the 90 days before it.
-- actor = *: callers by name, as alice or *admin*
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
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '97' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '97' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND actor_kind <> 'service'
    AND lower(COALESCE(actor, '')) LIKE lower('%') ESCAPE '\'
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
WHERE first_seen >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP)
  AND actor_since < CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP)
ORDER BY first_seen DESC, actor, actor_kind, event_source, event_name
LIMIT 100;

-- group_membership_changes: Group members added and removed
-- Each user added to or removed from a group, in IAM and in Identity Center, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.groupName'),
    json_extract_scalar(request_parameters, '$.groupId')) AS group_name,
  COALESCE(json_extract_scalar(request_parameters, '$.userName'),
    json_extract_scalar(request_parameters, '$.memberId.userId'),
    json_extract_scalar(request_parameters, '$.memberId'),
    json_extract_scalar(request_parameters, '$.membershipId')) AS member,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND category IN ('iam', 'sso')
  AND event_name IN ('AddUserToGroup', 'RemoveUserFromGroup', 'CreateGroupMembership', 'DeleteGroupMembership',
    'AddMemberToGroup', 'RemoveMemberFromGroup')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- hourly_activity: Hour by hour of the day
-- Per hour of the day, on the clock of --tz: events, callers, errors, and the share of errors
-- in percent.
SELECT
  EXTRACT(HOUR FROM CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END) AS hour,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS users,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  ROUND(CAST(COUNT(*) FILTER (WHERE outcome <> 'ok') AS DOUBLE) * 100 / CAST(COUNT(*) AS DOUBLE), 1) AS error_rate
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '7' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
GROUP BY 1
ORDER BY hour;

-- identity_provider_changes: Identity providers added and changed
-- Each SAML or OpenID Connect provider, server certificate or account setting of IAM that was
-- created, changed or deleted, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  COALESCE(target_name,
    json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.url'),
    json_extract_scalar(request_parameters, '$.sAMLProviderArn'),
    json_extract_scalar(request_parameters, '$.openIDConnectProviderArn')) AS target_name,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '365' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '365' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND category IN ('iam', 'sso')
  AND (event_name LIKE '%SAMLProvider%' OR event_name LIKE '%OpenIDConnectProvider%'
    OR event_name LIKE '%ExternalIdPConfiguration%' OR event_name LIKE '%TrustedTokenIssuer%'
    OR event_name LIKE '%AccountPasswordPolicy' OR event_name LIKE '%AccountAlias')
  AND regexp_like(event_name, '^(Add|Create|Delete|Disable|Enable|Remove|Tag|Untag|Update)')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- ip_activity: What came from an address
-- Per caller and action from one address (or, with *, a range of them): events, errors, first
-- and last time.
-- ip = CHANGE-ME*: the address, as 203.0.113.7 or 203.0.113.*
SELECT
  source_ip,
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) AS events,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND lower(source_ip) LIKE lower('CHANGE-ME%') ESCAPE '\'
GROUP BY source_ip, actor, actor_kind, event_source, event_name
ORDER BY last_seen DESC, source_ip, actor, actor_kind, event_source, event_name
LIMIT 100;

-- kept_noise: Noise that was kept all the same
-- Each event that a filter would have dropped, and that was kept because a critical rule fired
-- on it, newest first.
SELECT
  event_time,
  account_id,
  filtered_by,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_name,
  source_ip,
  outcome,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND filtered_by IS NOT NULL
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- key_lifecycle: Access keys and other credentials made, changed, deleted
-- Each creation, change and deletion of an access key, SSH key, signing certificate or
-- service-specific credential, newest first; for_other tells that the caller isn't the user
-- whose key it is.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(target_name, json_extract_scalar(request_parameters, '$.userName'), user_name) AS target_name,
  COALESCE(issued_access_key_id,
    json_extract_scalar(request_parameters, '$.accessKeyId'),
    json_extract_scalar(request_parameters, '$.sSHPublicKeyId'),
    json_extract_scalar(request_parameters, '$.certificateId'),
    json_extract_scalar(request_parameters, '$.serviceSpecificCredentialId')) AS key_id,
  json_extract_scalar(request_parameters, '$.status') AS status,
  COALESCE(user_name, '') <> COALESCE(target_name, json_extract_scalar(request_parameters, '$.userName'), user_name, '') AS for_other,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'iam.amazonaws.com'
  AND event_name IN ('CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey',
    'UploadSSHPublicKey', 'UpdateSSHPublicKey', 'DeleteSSHPublicKey',
    'UploadSigningCertificate', 'UpdateSigningCertificate', 'DeleteSigningCertificate',
    'CreateServiceSpecificCredential', 'ResetServiceSpecificCredential',
    'UpdateServiceSpecificCredential', 'DeleteServiceSpecificCredential')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- mfa_device_changes: MFA devices added and removed
-- Each MFA device that was created, enabled, deactivated, deleted or re-synchronized, in IAM
-- and in Identity Center, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_source,
  event_name,
  target_name,
  COALESCE(json_extract_scalar(request_parameters, '$.serialNumber'),
    json_extract_scalar(request_parameters, '$.virtualMFADeviceName')) AS serial_number,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND category IN ('iam', 'sso')
  AND lower(event_name) LIKE '%mfadevice%'
  AND regexp_like(event_name, '^(Complete|Create|Deactivate|Delete|Enable|Put|Resync|Start|Update)')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- mfa_signins: Console sign-ins and MFA
-- Per caller: console sign-ins with MFA, without, and where the record doesn't tell; failures.
-- IAM users and root come first: for federated sign-ins and role sessions MFA is the identity
-- provider's business, and "without" says nothing.
SELECT
  actor,
  actor_kind,
  identity_type,
  account_id,
  CASE WHEN identity_type IN ('IAMUser', 'Root') THEN 'AWS' ELSE 'identity provider' END AS mfa_asked_by,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS signins,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND mfa) AS with_mfa,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT mfa) AS without_mfa,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND mfa IS NULL) AS not_recorded,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failed,
  COUNT(DISTINCT source_ip) AS addresses,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'signin.amazonaws.com'
  AND event_name = 'ConsoleLogin'
GROUP BY 1, 2, 3, 4, 5
ORDER BY mfa_asked_by, without_mfa DESC, signins DESC, actor, actor_kind, identity_type, account_id
LIMIT 100;

-- new_actors: Callers never seen before
-- Callers whose first event lies in the range, against the 90 days before it.
SELECT
  MIN(event_time) AS first_seen,
  actor,
  actor_kind,
  identity_account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT event_name) AS actions,
  COUNT(DISTINCT source_ip) AS addresses,
  min_by(source_ip, event_time) AS source_ip,
  min_by(account_id, event_time) AS account_id,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '97' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '97' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, identity_account_id
HAVING MIN(event_time) >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP)
ORDER BY first_seen DESC, actor, actor_kind, identity_account_id
LIMIT 100;

-- new_ip_addresses: Addresses never seen before
-- Pairs of caller and address whose first event lies in the range, against the 90 days before
-- it; address_new tells whether nobody had used the address, actor_new whether the caller is
-- new too.
WITH pairs AS (
  SELECT actor, actor_kind, source_ip, COUNT(*) AS events, MIN(event_time) AS first_seen, MAX(event_time) AS last_seen
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '97' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '97' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND actor_kind <> 'service'
    AND source_ip IS NOT NULL
    AND source_ip NOT LIKE '%.amazonaws.com'
    AND source_ip <> 'AWS Internal'
  GROUP BY actor, actor_kind, source_ip
),
ranked AS (
  SELECT
    pairs.*,
    MIN(first_seen) OVER (PARTITION BY source_ip) >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP) AS address_new,
    MIN(first_seen) OVER (PARTITION BY actor, actor_kind) >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP) AS actor_new
  FROM pairs
)
SELECT first_seen, actor, actor_kind, source_ip, events, address_new, actor_new, last_seen
FROM ranked
WHERE first_seen >= CAST(CAST(current_date - INTERVAL '7' DAY AS DATE) AS TIMESTAMP)
ORDER BY first_seen DESC, actor, actor_kind, source_ip
LIMIT 100;

-- off_hours: Activity out of office hours
-- Per caller and event within the off hours (--off-hours, on the clock of --tz; the start
-- belongs to them, the end doesn't): how often, first and last time. AWS services are left
-- out.
SELECT
  actor,
  actor_kind,
  event_source,
  event_name,
  COUNT(*) AS events,
  COUNT(DISTINCT CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE)) AS days,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND ((EXTRACT(HOUR FROM CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END) * 60 + EXTRACT(MINUTE FROM CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END)) >= 1320 OR (EXTRACT(HOUR FROM CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END) * 60 + EXTRACT(MINUTE FROM CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END)) < 360)
  AND actor_kind <> 'service'
GROUP BY actor, actor_kind, event_source, event_name
ORDER BY events DESC, actor, actor_kind, event_source, event_name
LIMIT 100;

-- permission_changes: Changes of IAM users, groups, roles and policies
-- Each attach, detach, put, create and delete of users, groups, roles and policies, refused
-- ones too, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  user_name,
  event_name,
  target_kind,
  target_name,
  target_arn,
  COALESCE(json_extract_scalar(request_parameters, '$.policyArn'),
    json_extract_scalar(request_parameters, '$.policyName'),
    json_extract_scalar(request_parameters, '$.permissionsBoundary')) AS policy,
  json_extract_scalar(request_parameters, '$.groupName') AS group_name,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'iam.amazonaws.com'
  AND event_name IN (
    'AttachUserPolicy', 'DetachUserPolicy', 'PutUserPolicy', 'DeleteUserPolicy',
    'AttachGroupPolicy', 'DetachGroupPolicy', 'PutGroupPolicy', 'DeleteGroupPolicy',
    'AttachRolePolicy', 'DetachRolePolicy', 'PutRolePolicy', 'DeleteRolePolicy',
    'PutUserPermissionsBoundary', 'DeleteUserPermissionsBoundary',
    'PutRolePermissionsBoundary', 'DeleteRolePermissionsBoundary',
    'CreatePolicy', 'DeletePolicy', 'CreatePolicyVersion', 'DeletePolicyVersion', 'SetDefaultPolicyVersion',
    'CreateUser', 'DeleteUser', 'CreateGroup', 'DeleteGroup', 'AddUserToGroup', 'RemoveUserFromGroup',
    'CreateRole', 'DeleteRole', 'UpdateAssumeRolePolicy')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- policy_changes_with_documents: Policy changes with their documents
-- Each event that carries a policy document (inline, managed, trust, permission set), with the
-- document as it was recorded, newest first.
-- target = *: what the policy belongs to, by name
WITH changes AS (
  SELECT
    event_time,
    account_id,
    actor,
    actor_kind,
    event_source,
    event_name,
    target_name,
    target_arn,
    COALESCE(json_extract_scalar(request_parameters, '$.policyName'),
      json_extract_scalar(request_parameters, '$.policyArn'),
      json_extract_scalar(request_parameters, '$.permissionSetArn')) AS policy,
    COALESCE(json_extract_scalar(request_parameters, '$.policyDocument'),
      json_extract_scalar(request_parameters, '$.assumeRolePolicyDocument'),
      json_extract_scalar(request_parameters, '$.inlinePolicy'),
      json_extract_scalar(request_parameters, '$.permissionsPolicy')) AS document,
    source_ip,
    outcome,
    error_code,
    event_id
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND category IN ('iam', 'sso')
    AND (event_name LIKE 'Put%Policy%' OR event_name LIKE 'Create%' OR event_name LIKE 'Update%Policy%')
    AND lower(COALESCE(target_name, '')) LIKE lower('%') ESCAPE '\'
)
SELECT *
FROM changes
WHERE document IS NOT NULL
ORDER BY event_time DESC, account_id, event_id
LIMIT 50;

-- region_activity: Region by region
-- Per region and account: events, callers, changes, first and last time; a region that nobody
-- should use stands out.
SELECT
  aws_region,
  account_id,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(*) FILTER (WHERE outcome = 'ok' AND NOT read_only) AS changes,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND actor_kind <> 'service'
GROUP BY aws_region, account_id
ORDER BY events DESC, aws_region, account_id;

-- role_assumptions: Which roles were assumed, and by whom
-- Per role and assuming caller: assumptions, days, first and last time, failures. A refused
-- call may not record the role it asked for; such rows have no role.
SELECT
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS role,
  actor,
  actor_kind,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE)) AS days,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'sts.amazonaws.com'
  AND event_name IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot')
GROUP BY 1, 2, 3
ORDER BY assumptions DESC, failures DESC, role, actor, actor_kind
LIMIT 100;

-- role_chains: Roles that assume roles
-- Per pair of roles: how often a session of the one assumed the other, by how many callers,
-- first and last time.
SELECT
  identity_account_id AS from_account,
  role_name AS from_role,
  COALESCE(target_arn, json_extract_scalar(request_parameters, '$.roleArn'), target_name) AS to_role,
  COUNT(*) FILTER (WHERE outcome = 'ok') AS assumptions,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS failures,
  COUNT(DISTINCT actor) AS actors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'sts.amazonaws.com'
  AND event_name = 'AssumeRole'
  AND identity_type = 'AssumedRole'
GROUP BY 1, 2, 3
ORDER BY assumptions DESC, failures DESC, from_account, from_role, to_role
LIMIT 100;

-- root_timeline: Root, day by day
-- Per day and account: what the root user did: sign-ins, failed ones, those without MFA, other
-- events, changes, addresses.
SELECT
  CAST(CASE WHEN event_time < TIMESTAMP '2025-10-26 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE) AS day,
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
WHERE event_date BETWEEN CAST(current_date - INTERVAL '365' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '365' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND identity_type = 'Root'
GROUP BY 1, 2
ORDER BY day DESC, account_id
LIMIT 100;

-- root_usage: What the root users did
-- Each event of a root user, newest first. Root is told by the identity's type, never by a
-- name.
SELECT
  event_time,
  account_id,
  event_name,
  event_source,
  source_ip,
  user_agent,
  aws_region,
  outcome,
  error_code,
  error_message,
  mfa,
  target_name,
  request_parameters,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND identity_type = 'Root'
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- session_activity: What was done with a key or session
-- Each event made with one access key (a session's ASIA… or a user's AKIA…), in order of
-- time, and the event that issued it.
-- key = CHANGE-ME: the access key id
SELECT
  event_time,
  account_id,
  aws_region,
  event_source,
  event_name,
  actor,
  actor_kind,
  CASE WHEN access_key_id = 'CHANGE-ME' THEN 'used' ELSE 'issued' END AS key_was,
  issued_access_key_id,
  target_name,
  source_ip,
  user_agent,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND (access_key_id = 'CHANGE-ME' OR issued_access_key_id = 'CHANGE-ME')
ORDER BY event_time, account_id, event_id;

-- shared_access_keys: Keys used from many places
-- Per access key: addresses, regions and user agents it was used with, where there is more
-- than one address; the most addresses first.
SELECT
  access_key_id,
  MAX(actor) AS actor,
  COUNT(DISTINCT source_ip) AS addresses,
  COUNT(DISTINCT aws_region) AS regions,
  COUNT(DISTINCT user_agent) AS agents,
  COUNT(*) AS events,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND access_key_id IS NOT NULL
  AND source_ip NOT LIKE '%.amazonaws.com'
  AND source_ip <> 'AWS Internal'
GROUP BY access_key_id
HAVING COUNT(DISTINCT source_ip) > 1
ORDER BY addresses DESC, events DESC, access_key_id
LIMIT 100;

-- sso_account_assignments: Account assignments created and deleted
-- Each grant of a permission set to a user or group in an account, and each withdrawal, newest
-- first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  json_extract_scalar(request_parameters, '$.principalId') AS principal_id,
  json_extract_scalar(request_parameters, '$.principalType') AS principal_type,
  json_extract_scalar(request_parameters, '$.targetId') AS target_account,
  json_extract_scalar(request_parameters, '$.permissionSetArn') AS permission_set,
  aws_region,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreateAccountAssignment', 'DeleteAccountAssignment', 'AssociateProfile', 'DisassociateProfile')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- sso_activity_summary: What Identity Center is used for
-- Per Identity Center event: how often, by how many, errors and their share in percent, and
-- whether it administers or is part of normal use.
SELECT
  event_source,
  event_name,
  CASE
    WHEN regexp_like(event_name,
      '^(Add|Associate|Attach|Complete|Create|Delete|Deregister|Detach|Disable|Disassociate|Enable|Import|Provision|Put|Register|Remove|Start|Update)')
    AND event_name NOT IN ('CreateToken', 'CreateTokenWithIAM', 'RegisterClient', 'StartDeviceAuthorization')
    THEN 'administrative'
    ELSE 'operational'
  END AS kind,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS users,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  ROUND(CAST(COUNT(*) FILTER (WHERE outcome <> 'ok') AS DOUBLE) * 100 / CAST(COUNT(*) AS DOUBLE), 1) AS error_rate
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND category = 'sso'
GROUP BY event_source, event_name
ORDER BY events DESC, event_source, event_name;

-- sso_admin_policies: Managed policies attached to permission sets
-- Each managed policy attached to a permission set, AWS's or the customer's, with a risk:
-- critical and high for AWS's administrator policies (by the exact ARN), unknown for the
-- customer's own, whose content isn't in the event, low for the rest.
WITH attached AS (
  SELECT
    event_time,
    account_id,
    actor,
    actor_kind,
    event_name,
    json_extract_scalar(request_parameters, '$.permissionSetArn') AS permission_set,
    COALESCE(json_extract_scalar(request_parameters, '$.managedPolicyArn'),
      json_extract_scalar(request_parameters, '$.customerManagedPolicyReference.name')) AS policy,
    aws_region,
    source_ip,
    outcome,
    error_code,
    event_id
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND event_source = 'sso.amazonaws.com'
    AND event_name IN ('AttachManagedPolicyToPermissionSet', 'AttachCustomerManagedPolicyReferenceToPermissionSet')
)
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  permission_set,
  policy,
  CASE
    WHEN event_name = 'AttachCustomerManagedPolicyReferenceToPermissionSet' THEN 'unknown'
    WHEN regexp_like(policy, '^arn:aws[a-z-]*:iam::aws:policy/([^:]*/)?(AdministratorAccess|IAMFullAccess)$') THEN 'critical'
    WHEN regexp_like(policy, '^arn:aws[a-z-]*:iam::aws:policy/([^:]*/)?(PowerUserAccess|AWSSSOMasterAccountAdministrator|AWSSSOMemberAccountAdministrator|AWSSSODirectoryAdministrator|AWSOrganizationsFullAccess|AWSIdentityCenterFullAccess|SystemAdministrator)$') THEN 'high'
    WHEN policy IS NULL THEN 'unknown'
    ELSE 'low'
  END AS risk,
  aws_region,
  source_ip,
  outcome,
  error_code,
  event_id
FROM attached
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- sso_admin_users: Who administers Identity Center
-- Per caller: administrative Identity Center actions by what they touch (permission sets,
-- assignments, applications, users and groups, the rest), errors, first and last time.
WITH changes AS (
  SELECT
    actor,
    actor_kind,
    outcome,
    event_time,
    CASE
      WHEN event_name LIKE '%AccountAssignment%' OR event_name LIKE '%ssociateProfile' THEN 'assignment'
      WHEN event_name LIKE '%Application%' THEN 'application'
      WHEN event_name LIKE '%PermissionSet%' OR event_name LIKE '%PermissionsPolicy%' THEN 'permission set'
      WHEN event_name LIKE '%User%' OR event_name LIKE '%Group%' OR event_name LIKE '%Mfa%' OR event_name LIKE '%Password%' THEN 'directory'
      ELSE 'other'
    END AS kind
  FROM events
  WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
    AND category = 'sso'
    AND regexp_like(event_name,
      '^(Add|Associate|Attach|Complete|Create|Delete|Deregister|Detach|Disable|Disassociate|Enable|Import|Provision|Put|Register|Remove|Start|Update)')
    AND event_name NOT IN ('CreateToken', 'CreateTokenWithIAM', 'RegisterClient', 'StartDeviceAuthorization')
)
SELECT
  actor,
  actor_kind,
  COUNT(*) AS actions,
  COUNT(*) FILTER (WHERE kind = 'permission set') AS permission_sets,
  COUNT(*) FILTER (WHERE kind = 'assignment') AS assignments,
  COUNT(*) FILTER (WHERE kind = 'application') AS applications,
  COUNT(*) FILTER (WHERE kind = 'directory') AS users_and_groups,
  COUNT(*) FILTER (WHERE kind = 'other') AS other,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM changes
GROUP BY actor, actor_kind
ORDER BY actions DESC, actor, actor_kind
LIMIT 100;

-- sso_applications: Applications created and deleted
-- Each Identity Center application (managed instances among them) that was created or deleted,
-- newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.name'), target_name,
    json_extract_scalar(request_parameters, '$.instanceId'),
    json_extract_scalar(request_parameters, '$.applicationInstanceId'),
    json_extract_scalar(request_parameters, '$.applicationArn')) AS application,
  CASE
    WHEN outcome <> 'ok' THEN outcome
    WHEN event_name LIKE 'Create%' THEN 'created'
    ELSE 'deleted'
  END AS status,
  aws_region,
  source_ip,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreateManagedApplicationInstance', 'DeleteManagedApplicationInstance',
    'CreateApplicationInstance', 'DeleteApplicationInstance', 'CreateApplication', 'DeleteApplication')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- sso_permission_sets: Permission sets created and updated
-- Each permission set that was created or updated, newest first. An update names the set by
-- its ARN only.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.permissionSetArn'), target_name) AS permission_set,
  json_extract_scalar(request_parameters, '$.sessionDuration') AS session_duration,
  json_extract_scalar(request_parameters, '$.description') AS description,
  json_extract_scalar(request_parameters, '$.relayState') AS relay_state,
  aws_region,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'sso.amazonaws.com'
  AND event_name IN ('CreatePermissionSet', 'UpdatePermissionSet')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- trail_tampering: Changes of the trails themselves
-- Each change of CloudTrail's own configuration: trails stopped, deleted, narrowed, event data
-- stores removed, refused attempts too, newest first.
SELECT
  event_time,
  account_id,
  aws_region,
  actor,
  actor_kind,
  event_name,
  COALESCE(target_name,
    json_extract_scalar(request_parameters, '$.name'),
    json_extract_scalar(request_parameters, '$.trailName'),
    json_extract_scalar(request_parameters, '$.eventDataStore')) AS target_name,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '365' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '365' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'cloudtrail.amazonaws.com'
  AND regexp_like(event_name, '^(Create|Delete|Deregister|Disable|Enable|Put|Register|Restore|Start|Stop|Update)(Trail|Logging|Event|Insight|Organization|Ingestion|Federation|Resource)')
ORDER BY event_time DESC, account_id, event_id
LIMIT 100;

-- trust_policy_changes: Who may assume which role
-- Each role created or given a new trust policy, with the policy, newest first.
SELECT
  event_time,
  account_id,
  actor,
  actor_kind,
  event_name,
  COALESCE(json_extract_scalar(request_parameters, '$.roleName'), target_name) AS role,
  COALESCE(json_extract_scalar(request_parameters, '$.assumeRolePolicyDocument'),
    json_extract_scalar(request_parameters, '$.policyDocument')) AS trust_policy,
  source_ip,
  outcome,
  error_code,
  event_id
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '90' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '90' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND event_source = 'iam.amazonaws.com'
  AND event_name IN ('CreateRole', 'UpdateAssumeRolePolicy')
ORDER BY event_time DESC, account_id, event_id
LIMIT 50;

-- user_agents: Which tools are used
-- Per user agent: events, callers, errors, first and last time; the rarest first, since that
-- is where a foreign tool shows.
-- actor = *: callers by name, as alice or *admin*
SELECT
  user_agent,
  COUNT(*) AS events,
  COUNT(DISTINCT actor) AS actors,
  COUNT(*) FILTER (WHERE outcome <> 'ok') AS errors,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND lower(COALESCE(actor, '')) LIKE lower('%') ESCAPE '\'
GROUP BY user_agent
ORDER BY events, user_agent
LIMIT 100;

-- user_lookup: Who was active, and how much
-- Per caller: first and last activity, events, distinct actions, days active; most active
-- first. A role session is its own caller (role/session); AWS services are left out.
-- actor = *: callers by name, as alice or *admin*
SELECT
  actor,
  actor_kind,
  identity_account_id,
  MAX(user_name) AS user_name,
  COUNT(*) AS events,
  COUNT(DISTINCT event_name) AS distinct_actions,
  COUNT(DISTINCT CAST(CASE WHEN event_time < TIMESTAMP '2026-03-29 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2026-10-25 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2027-03-28 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE WHEN event_time < TIMESTAMP '2027-10-31 01:00:00.000' THEN event_time + INTERVAL '120' MINUTE WHEN event_time < TIMESTAMP '2028-03-26 01:00:00.000' THEN event_time + INTERVAL '60' MINUTE ELSE event_time + INTERVAL '120' MINUTE END AS DATE)) AS days_active,
  MIN(event_time) AS first_seen,
  MAX(event_time) AS last_seen
FROM events
WHERE event_date BETWEEN CAST(current_date - INTERVAL '30' DAY AS DATE) AND CAST(current_date + INTERVAL '1' DAY AS DATE) AND event_time >= CAST(CAST(current_date - INTERVAL '30' DAY AS DATE) AS TIMESTAMP) AND event_time < CAST(CAST(current_date + INTERVAL '2' DAY AS DATE) AS TIMESTAMP)
  AND actor_kind <> 'service'
  AND lower(COALESCE(actor, '')) LIKE lower('%') ESCAPE '\'
GROUP BY actor, actor_kind, identity_account_id
ORDER BY events DESC, actor, actor_kind, identity_account_id
LIMIT 25;
