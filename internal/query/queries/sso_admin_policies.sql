-- title: Managed policies attached to permission sets
-- group: identity-center
-- description: Each managed policy attached to a permission set, AWS's or the customer's, with a risk:
--   critical and high for AWS's administrator policies (by the exact ARN), unknown for the
--   customer's own, whose content isn't in the event, low for the rest.
-- look-back: 30d
-- limit: 100
-- table: event_time, actor, permission_set, policy, risk, outcome
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
  WHERE ${range}
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
${limit}
