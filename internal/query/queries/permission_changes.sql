-- title: Changes of IAM users, groups, roles and policies
-- group: permissions
-- description: Each attach, detach, put, create and delete of users, groups, roles and policies, refused
--   ones too, newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, target_name, policy, source_ip, outcome
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
WHERE ${range}
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
${limit}
