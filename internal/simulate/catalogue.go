package simulate

// versions are the event versions in use; a call keeps to one.
var versions = []string{"1.08", "1.09", "1.10", "1.11"}

func api(source, name string, write bool, rp, re string) *call {
	c := &call{source: source, name: name, write: write, version: versions[label(source+name)%4]}
	if rp != "" {
		c.rp = compile(rp)
	}
	if re != "" {
		c.re = compile(re)
	}
	c.global = source == "iam" || source == "organizations"
	return c
}

func read(source, name, rp string) *call { return api(source, name, false, rp, "") }

// Credentials.
const (
	assumedUser   = `"assumedRoleUser":{"assumedRoleId":"%{subject:id}","arn":"%{subject:arn}"}`
	roleResource  = `[{"accountId":"%{subject:account}","type":"AWS::IAM::Role","ARN":"%{subject:rolearn}"}]`
	servedHere    = `{"RequestDetails":{"awsServingRegion":"%{region}","endpointType":"regional"}}`
	githubIssuer  = "token.actions.githubusercontent.com"
	samlAudience  = "https://signin.aws.amazon.com/saml"
	corporateSAML = "CorporateADFS"
)

func issuing(c *call, resource, ad string) *call {
	if resource != "" {
		c.resource = compile(resource)
	}
	if ad != "" {
		c.ad = compile(ad)
	}
	return c
}

var (
	callAssume = issuing(api("sts", "AssumeRole", false,
		`{"roleArn":"%{subject:rolearn}","roleSessionName":"%{subject:name}","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},`+assumedUser+`}`), roleResource, servedHere)
	callAssumeByService = issuing(api("sts", "AssumeRole", false,
		`{"roleArn":"%{subject:rolearn}","roleSessionName":"%{subject:name}","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},`+assumedUser+`}`), roleResource, "")
	callAssumeVendor = issuing(api("sts", "AssumeRole", false,
		`{"roleArn":"%{subject:rolearn}","roleSessionName":"%{subject:name}","externalId":"5d1f2c7e-scan","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},`+assumedUser+`}`), roleResource, servedHere)
	callAssumeWeb = issuing(api("sts", "AssumeRoleWithWebIdentity", false,
		`{"roleArn":"%{subject:rolearn}","roleSessionName":"%{subject:name}","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},"subjectFromWebIdentityToken":"%{subject:caller}",`+assumedUser+
			`,"provider":"arn:aws:iam::%{account}:oidc-provider/`+githubIssuer+`","audience":"sts.amazonaws.com"}`), roleResource, servedHere)
	callAssumePortal = issuing(api("sts", "AssumeRoleWithSAML", false,
		`{"sAMLAssertionID":"_%{uuid}","roleSessionName":"%{subject:name}","roleArn":"%{subject:rolearn}","principalArn":"arn:aws:iam::%{account}:saml-provider/AWSSSO_9f2c51d07ab34e68_DO_NOT_DELETE","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},"subjectType":"persistent","issuer":"https://portal.sso.%{region}.amazonaws.com/saml/assertion/%{hex}",`+assumedUser+
			`,"nameQualifier":"gZq3Jc0vQmY1d8rTnS5wXk2aBfE=","subject":"%{subject:name}","audience":"`+samlAudience+`"}`), roleResource, servedHere)
	callAssumeSAML = issuing(api("sts", "AssumeRoleWithSAML", false,
		`{"sAMLAssertionID":"_%{uuid}","roleSessionName":"%{subject:name}","roleArn":"%{subject:rolearn}","principalArn":"arn:aws:iam::%{account}:saml-provider/`+corporateSAML+`","durationSeconds":%{subject:seconds}}`,
		`{"credentials":%{issued},"subjectType":"persistent","issuer":"http://adfs.`+mailDomain+`/adfs/services/trust",`+assumedUser+
			`,"nameQualifier":"Yt7Lw0uHq4bKd2sVxZ1nC9mEoR8=","subject":"%{subject:person}","audience":"`+samlAudience+`"}`), roleResource, servedHere)
	callSessionToken = issuing(api("sts", "GetSessionToken", false,
		`{"serialNumber":"%{subject:mfa}","durationSeconds":43200}`, `{"credentials":%{issued}}`), "", servedHere)
	callFederationToken = issuing(api("sts", "GetFederationToken", false,
		`{"name":"%{subject:name}","durationSeconds":%{subject:seconds},"policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::%{bucket}/*\"}]}"}`,
		`{"credentials":%{issued},"federatedUser":{"federatedUserId":"%{account}:%{subject:name}","arn":"%{subject:arn}"},"packedPolicySize":6}`), "", servedHere)
	callCallerIdentity = read("sts", "GetCallerIdentity", "")
)

// signinCall is a step at a sign-in page; sso marks those of Identity Center.
func signinCall(name, kind, re, ad, sed string) *call {
	c := &call{source: "signin", name: name, write: true, version: "1.08", kind: kind, bare: true}
	if re != "" {
		c.re = compile(re)
	}
	if ad != "" {
		c.ad = compile(ad)
	}
	if sed != "" {
		c.sed = compile(sed)
	}
	return c
}

const consoleTarget = `"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&state=hashArgsFromTB_%{region}_%{hex:17}","MobileVersion":"No"`

func loginCall(result, mfa, message string) *call {
	c := signinCall("ConsoleLogin", "AwsConsoleSignIn", `{"ConsoleLogin":"`+result+`"}`, `{`+consoleTarget+`,"MFAUsed":"`+mfa+`"}`, "")
	if message != "" {
		c.errMsg = literal(message)
	}
	return c
}

var (
	callLoginMFA         = loginCall("Success", "Yes", "")
	callLoginNoMFA       = loginCall("Success", "No", "")
	callLoginWrong       = loginCall("Failure", "No", "Failed authentication")
	callLoginWrongCode   = loginCall("Failure", "Yes", "Failed authentication")
	callLoginUnknownUser = loginCall("Failure", "No", "No username found in supplied account")
	callLoginPortal      = signinCall("ConsoleLogin", "AwsConsoleSignIn", `{"ConsoleLogin":"Success"}`,
		`{`+consoleTarget+`,"MFAUsed":"No","SamlProviderArn":"arn:aws:iam::%{account}:saml-provider/AWSSSO_9f2c51d07ab34e68_DO_NOT_DELETE"}`, "")
	callLoginSAML = signinCall("ConsoleLogin", "AwsConsoleSignIn", `{"ConsoleLogin":"Success"}`,
		`{`+consoleTarget+`,"MFAUsed":"No","SamlProviderArn":"arn:aws:iam::%{account}:saml-provider/`+corporateSAML+`"}`, "")

	callUserAuthentication = signinCall("UserAuthentication", "AwsServiceEvent", "",
		`{"AuthWorkflowID":"%{uuid}","CredentialType":"PASSWORD,TOTP","LoginTo":"https://portal.sso.%{region}.amazonaws.com/auth/login"}`, `{"UserAuthentication":"Success"}`)
	callCredentialPassword = signinCall("CredentialVerification", "AwsServiceEvent", "",
		`{"AuthWorkflowID":"%{uuid}","CredentialType":"PASSWORD"}`, `{"CredentialVerification":"Success"}`)
	callCredentialTOTP = signinCall("CredentialVerification", "AwsServiceEvent", "",
		`{"AuthWorkflowID":"%{uuid}","CredentialType":"TOTP"}`, `{"CredentialVerification":"Success"}`)
	callCredentialFailed = signinCall("CredentialVerification", "AwsServiceEvent", "",
		`{"AuthWorkflowID":"%{uuid}","CredentialType":"PASSWORD"}`, `{"CredentialVerification":"Failure"}`)
)

// portalCall is what the access portal does for a person.
func portalCall(name string, write bool, sed string) *call {
	c := &call{source: "sso", name: name, write: write, version: "1.08", kind: "AwsServiceEvent"}
	if sed != "" {
		c.sed = compile(sed)
	}
	return c
}

const portalTarget = `{"role_name":"%{subject:set}","account_id":"%{subject:account}"}`

var (
	callListAccounts       = portalCall("ListAccounts", false, "")
	callListAccountRoles   = portalCall("ListAccountRoles", false, "")
	callFederate           = portalCall("Federate", true, portalTarget)
	callGetRoleCredentials = portalCall("GetRoleCredentials", false, portalTarget)
	callCreateToken        = api("sso-oauth", "CreateToken", true,
		`{"clientId":"HIDDEN_DUE_TO_SECURITY_REASONS","clientSecret":"HIDDEN_DUE_TO_SECURITY_REASONS","grantType":"urn:ietf:params:oauth:grant-type:device_code","deviceCode":"HIDDEN_DUE_TO_SECURITY_REASONS"}`,
		`{"accessToken":"HIDDEN_DUE_TO_SECURITY_REASONS","tokenType":"Bearer","expiresIn":28800,"refreshToken":"HIDDEN_DUE_TO_SECURITY_REASONS","idToken":"HIDDEN_DUE_TO_SECURITY_REASONS"}`)
)

// Everyday calls by who makes them. None of them is anything that an alert of
// Rules is due for; the test of the declared truth checks that.
var (
	readerCalls = []*call{
		read("ec2", "DescribeInstances", `{"maxResults":50,"instancesSet":{},"filterSet":{}}`),
		read("ec2", "DescribeSecurityGroups", `{"securityGroupSet":{"items":[{"groupId":"%{group}"}]},"filterSet":{}}`),
		read("ec2", "DescribeVpcs", `{"vpcSet":{},"filterSet":{}}`),
		read("s3", "ListBuckets", `{"Host":"s3.%{region}.amazonaws.com"}`),
		read("s3", "GetBucketPolicy", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","policy":""}`),
		read("s3", "GetBucketEncryption", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","encryption":""}`),
		read("iam", "ListRoles", `{"maxItems":100}`),
		read("iam", "GetRole", `{"roleName":"%{role}"}`),
		read("iam", "ListUsers", ""),
		read("iam", "ListAttachedRolePolicies", `{"roleName":"%{role}"}`),
		read("iam", "GetUser", `{"userName":"%{user}"}`),
		read("cloudformation", "DescribeStacks", `{"stackName":"%{stack}"}`),
		read("cloudformation", "ListStacks", ""),
		read("lambda", "GetFunction20150331v2", `{"functionName":"%{function}"}`),
		read("lambda", "ListFunctions20150331", ""),
		read("logs", "DescribeLogGroups", `{"limit":50,"logGroupNamePrefix":"/aws/lambda/%{function}"}`),
		read("monitoring", "DescribeAlarms", `{"maxRecords":100}`),
		read("cloudtrail", "LookupEvents", `{"maxResults":50,"lookupAttributes":[{"attributeKey":"ReadOnly","attributeValue":"false"}]}`),
		read("rds", "DescribeDBInstances", `{"maxRecords":100}`),
		read("dynamodb", "DescribeTable", `{"tableName":"%{table}"}`),
		read("kms", "DescribeKey", `{"keyId":"arn:aws:kms:%{region}:%{account}:key/%{cmk}"}`),
		read("secretsmanager", "DescribeSecret", `{"secretId":"%{secret}"}`),
		callCallerIdentity,
	}
	builderCalls = []*call{
		api("ec2", "CreateTags", true, `{"resourcesSet":{"items":[{"resourceId":"%{instance}"}]},"tagSet":{"items":[{"key":"owner","value":"%{pick:shop|search|data}"}]}}`, `{"requestId":"%{uuid}","_return":true}`),
		api("ec2", "StartInstances", true, `{"instancesSet":{"items":[{"instanceId":"%{instance}"}]}}`,
			`{"requestId":"%{uuid}","instancesSet":{"items":[{"instanceId":"%{instance}","currentState":{"code":0,"name":"pending"},"previousState":{"code":80,"name":"stopped"}}]}}`),
		api("ec2", "StopInstances", true, `{"instancesSet":{"items":[{"instanceId":"%{instance}"}]},"force":false}`,
			`{"requestId":"%{uuid}","instancesSet":{"items":[{"instanceId":"%{instance}","currentState":{"code":64,"name":"stopping"},"previousState":{"code":16,"name":"running"}}]}}`),
		api("lambda", "UpdateFunctionCode20150331v2", true, `{"functionName":"%{function}","publish":false,"dryRun":false}`,
			`{"functionName":"%{function}","functionArn":"arn:aws:lambda:%{region}:%{account}:function:%{function}","runtime":"python3.13","handler":"app.handler","codeSize":18%{num}2,"timeout":30,"lastModified":"%{now}","version":"$LATEST","state":"Active","lastUpdateStatus":"InProgress"}`),
		api("s3", "PutBucketTagging", true, `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","tagging":"","Tagging":{"TagSet":{"Tag":{"Key":"team","Value":"%{pick:shop|search|data}"}}}}`, ""),
		api("ssm", "StartSession", true, `{"target":"%{instance}"}`, `{"sessionId":"session-%{hex:17}","tokenValue":"Value hidden due to security reasons.","streamUrl":"wss://ssmmessages.%{region}.amazonaws.com/v1/data-channel/session-%{hex:17}"}`),
		api("cloudformation", "UpdateStack", true, `{"stackName":"%{stack}","capabilities":["CAPABILITY_IAM"],"parameters":[]}`, `{"stackId":"arn:aws:cloudformation:%{region}:%{account}:stack/%{stack}/%{uuid}"}`),
		api("logs", "PutRetentionPolicy", true, `{"logGroupName":"/aws/lambda/%{function}","retentionInDays":30}`, ""),
		api("iam", "TagRole", true, `{"roleName":"%{role}","tags":[{"key":"team","value":"%{pick:shop|search|data}"}]}`, ""),
		api("iam", "UpdateRoleDescription", true, `{"roleName":"%{role}","description":"owned by %{pick:shop|search|data}"}`, ""),
	}
	pipelineCalls = []*call{
		read("iam", "GetRole", `{"roleName":"%{role}"}`),
		read("iam", "GetRolePolicy", `{"roleName":"%{role}","policyName":"inline"}`),
		read("iam", "ListRolePolicies", `{"roleName":"%{role}"}`),
		read("ec2", "DescribeSubnets", `{"subnetSet":{},"filterSet":{"items":[{"name":"tag:env","valueSet":{"items":[{"value":"%{pick:prod|dev}"}]}}]}}`),
		read("ec2", "DescribeAvailabilityZones", `{"availabilityZoneSet":{},"allAvailabilityZones":false}`),
		read("lambda", "GetFunctionConfiguration20150331v2", `{"functionName":"%{function}"}`),
		read("s3", "GetBucketVersioning", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","versioning":""}`),
		read("cloudformation", "DescribeStackEvents", `{"stackName":"%{stack}"}`),
		api("cloudformation", "CreateChangeSet", true, `{"stackName":"%{stack}","changeSetName":"release-%{num}","capabilities":["CAPABILITY_NAMED_IAM"]}`,
			`{"id":"arn:aws:cloudformation:%{region}:%{account}:changeSet/release-%{num}/%{uuid}","stackId":"arn:aws:cloudformation:%{region}:%{account}:stack/%{stack}/%{uuid}"}`),
		api("lambda", "PublishVersion20150331", true, `{"functionName":"%{function}"}`, `{"functionName":"%{function}","version":"%{num}","state":"Active"}`),
		api("ecr", "PutImage", true, `{"registryId":"%{account}","repositoryName":"%{pick:shop|search|data}","imageTag":"build-%{num}"}`,
			`{"image":{"registryId":"%{account}","repositoryName":"%{pick:shop|search|data}","imageId":{"imageDigest":"sha256:%{hex:17}%{hex:17}%{hex:17}","imageTag":"build-%{num}"}}}`),
		callCallerIdentity,
	}
	robotCalls = []*call{
		read("s3", "ListBuckets", `{"Host":"s3.%{region}.amazonaws.com"}`),
		read("s3", "GetBucketLocation", `{"bucketName":"%{bucket}","Host":"s3.%{region}.amazonaws.com","location":""}`),
		read("ec2", "DescribeSnapshots", `{"maxResults":200,"snapshotSet":{},"ownersSet":{"items":[{"owner":"self"}]},"filterSet":{}}`),
		api("ec2", "CreateSnapshot", true, `{"volumeId":"%{volume}","description":"nightly"}`,
			`{"requestId":"%{uuid}","snapshotId":"snap-0%{hex:17}","volumeId":"%{volume}","status":"pending","ownerId":"%{account}","volumeSize":"100","encrypted":true}`),
		read("monitoring", "GetMetricData", `{"maxDatapoints":500}`),
	}
	scannerCalls = []*call{
		read("iam", "ListUsers", `{"maxItems":1000}`),
		read("iam", "ListRoles", `{"maxItems":1000}`),
		read("iam", "ListPolicies", `{"onlyAttached":true,"scope":"Local"}`),
		read("iam", "GetAccountPasswordPolicy", ""),
		read("iam", "GetAccountSummary", ""),
		read("iam", "ListMFADevices", `{"userName":"%{user}"}`),
		read("iam", "ListAccessKeys", `{"userName":"%{user}"}`),
		read("iam", "GetAccountAuthorizationDetails", `{"filter":["User","Role","Group","LocalManagedPolicy"],"maxItems":200}`),
		read("iam", "GetCredentialReport", ""),
		read("ec2", "DescribeSecurityGroups", `{"maxResults":1000,"securityGroupSet":{},"filterSet":{}}`),
		read("ec2", "DescribeImages", `{"executableBySet":{},"imagesSet":{},"ownersSet":{"items":[{"owner":"self"}]},"filterSet":{}}`),
		read("ec2", "DescribeFlowLogs", `{"maxResults":100}`),
		read("s3", "GetBucketAcl", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","acl":""}`),
		read("s3", "GetBucketPublicAccessBlock", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","publicAccessBlock":""}`),
		read("kms", "GetKeyRotationStatus", `{"keyId":"%{cmk}"}`),
		read("cloudtrail", "DescribeTrails", `{"trailNameList":[],"includeShadowTrails":true}`),
		read("cloudtrail", "GetTrailStatus", `{"name":"arn:aws:cloudtrail:%{region}:%{account}:trail/organization-trail"}`),
		read("organizations", "ListAccounts", ""),
		read("rds", "DescribeDBSnapshots", `{"includeShared":false,"includePublic":false}`),
	}
)
