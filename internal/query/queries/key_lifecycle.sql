-- title: Access keys and other credentials made, changed, deleted
-- group: credentials
-- description: Each creation, change and deletion of an access key, SSH key, signing certificate or
--   service-specific credential, newest first; for_other tells that the caller isn't the user
--   whose key it is.
-- look-back: 90d
-- limit: 100
-- table: event_time, actor, event_name, target_name, key_id, status
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
WHERE ${range}
  AND event_source = 'iam.amazonaws.com'
  AND event_name IN ('CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey',
    'UploadSSHPublicKey', 'UpdateSSHPublicKey', 'DeleteSSHPublicKey',
    'UploadSigningCertificate', 'UpdateSigningCertificate', 'DeleteSigningCertificate',
    'CreateServiceSpecificCredential', 'ResetServiceSpecificCredential',
    'UpdateServiceSpecificCredential', 'DeleteServiceSpecificCredential')
ORDER BY event_time DESC, account_id, event_id
${limit}
