-- title: Group members added and removed
-- group: permissions
-- description: Each user added to or removed from a group, in IAM and in Identity Center, newest first.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, group_name, member, outcome
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
WHERE ${range}
  AND category IN ('iam', 'sso')
  AND event_name IN ('AddUserToGroup', 'RemoveUserFromGroup', 'CreateGroupMembership', 'DeleteGroupMembership',
    'AddMemberToGroup', 'RemoveMemberFromGroup')
ORDER BY event_time DESC, account_id, event_id
${limit}
