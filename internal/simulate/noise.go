package simulate

// A service that assumes a role of the account and works with it. Two thirds of
// what a real account records is of this kind.
type serviceKind struct {
	host, path, role, session string
	calls                     []*call // none: nothing is recorded of the session
}

const linked = "/aws-service-role/"

var serviceKinds = []serviceKind{
	{"config.amazonaws.com", linked + "config.amazonaws.com/", "AWSServiceRoleForConfig", "AWSConfig-Describe", []*call{
		read("ec2", "DescribeVolumes", `{"maxResults":500,"volumeSet":{"items":[{"volumeId":"%{volume}"}]},"filterSet":{}}`),
		read("ec2", "DescribeNetworkInterfaces", `{"maxResults":1000,"networkInterfaceIdSet":{},"filterSet":{}}`),
		read("s3", "GetBucketAcl", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","acl":""}`),
		read("iam", "ListRolePolicies", `{"roleName":"%{role}"}`),
		read("lambda", "GetPolicy20150331v2", `{"functionName":"%{function}"}`),
		read("dynamodb", "DescribeContinuousBackups", `{"tableName":"%{table}"}`),
	}},
	{"securityhub.amazonaws.com", linked + "securityhub.amazonaws.com/", "AWSServiceRoleForSecurityHub", "securityhub", []*call{
		read("config", "DescribeConfigRules", `{"configRuleNames":["securityhub-%{pick:s3-bucket-ssl|iam-root-mfa|vpc-flow-logs}-%{hex}"]}`),
		read("config", "GetComplianceDetailsByConfigRule", `{"configRuleName":"securityhub-%{pick:s3-bucket-ssl|iam-root-mfa|vpc-flow-logs}-%{hex}","limit":100}`),
	}},
	{"guardduty.amazonaws.com", linked + "guardduty.amazonaws.com/", "AWSServiceRoleForAmazonGuardDuty", "GuardDuty", []*call{
		read("ec2", "DescribeInstances", `{"instancesSet":{"items":[{"instanceId":"%{instance}"}]},"filterSet":{}}`),
		read("ec2", "DescribeVpcEndpoints", `{"DescribeVpcEndpointsRequest":{"MaxResults":1000}}`),
		read("organizations", "DescribeOrganization", ""),
	}},
	{"access-analyzer.amazonaws.com", linked + "access-analyzer.amazonaws.com/", "AWSServiceRoleForAccessAnalyzer", "access-analyzer", []*call{
		read("iam", "GetRole", `{"roleName":"%{role}"}`),
		read("iam", "ListRoles", `{"maxItems":1000}`),
		read("s3", "GetBucketPolicyStatus", `{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","policyStatus":""}`),
		read("kms", "GetKeyPolicy", `{"keyId":"arn:aws:kms:%{region}:%{account}:key/%{cmk}","policyName":"default"}`),
	}},
	{"trustedadvisor.amazonaws.com", linked + "trustedadvisor.amazonaws.com/", "AWSServiceRoleForTrustedAdvisor", "TrustedAdvisor_%d", []*call{
		read("ec2", "DescribeAddresses", `{"publicIpsSet":{},"filterSet":{},"allocationIdsSet":{}}`),
		read("elasticloadbalancing", "DescribeLoadBalancers", `{"pageSize":400}`),
		read("rds", "DescribeDBInstances", `{"maxRecords":100}`),
		read("iam", "GetAccountSummary", ""),
	}},
	{"autoscaling.amazonaws.com", linked + "autoscaling.amazonaws.com/", "AWSServiceRoleForAutoScaling", "AutoScaling", []*call{
		read("ec2", "DescribeInstanceStatus", `{"instancesSet":{"items":[{"instanceId":"%{instance}"}]},"filterSet":{},"includeAllInstances":true}`),
		api("ec2", "TerminateInstances", true, `{"instancesSet":{"items":[{"instanceId":"%{instance}"}]}}`,
			`{"requestId":"%{uuid}","instancesSet":{"items":[{"instanceId":"%{instance}","currentState":{"code":32,"name":"shutting-down"},"previousState":{"code":16,"name":"running"}}]}}`),
	}},
	{"ecs.amazonaws.com", linked + "ecs.amazonaws.com/", "AWSServiceRoleForECS", "ecs-service-scheduler", []*call{
		read("ec2", "DescribeNetworkInterfaces", `{"networkInterfaceIdSet":{"items":[{"networkInterfaceId":"eni-0%{hex:17}"}]},"filterSet":{}}`),
		api("elasticloadbalancing", "RegisterTargets", true, `{"targetGroupArn":"arn:aws:elasticloadbalancing:%{region}:%{account}:targetgroup/web/%{hex:17}","targets":[{"id":"10.0.%{pick:1|2|3}.%{pick:17|34|51|120|203}","port":8080}]}`, ""),
	}},
	{"rds.amazonaws.com", linked + "rds.amazonaws.com/", "AWSServiceRoleForRDS", "RDS-Monitoring", []*call{
		read("ec2", "DescribeSecurityGroups", `{"securityGroupSet":{"items":[{"groupId":"%{group}"}]},"filterSet":{}}`),
	}},
	{"organizations.amazonaws.com", linked + "organizations.amazonaws.com/", "AWSServiceRoleForOrganizations", "organizations", nil},
	{"cloudtrail.amazonaws.com", "/service-role/", "CloudTrailRoleForCloudWatchLogs", "CLOUDWATCH_LOGS_DELIVERY_SESSION", nil},
	{"vpc-flow-logs.amazonaws.com", "/", "vpc-flow-logs", "AWSVpcFlowLogs", nil},
	{"events.amazonaws.com", "/service-role/", "EventBridgeInvokeTargets", "EventBridge", nil},
	{"ecs-tasks.amazonaws.com", "/", "ecs-task-execution", "%s", nil},
	{"scheduler.amazonaws.com", "/service-role/", "SchedulerExecution", "schedule", nil},
}

// serviceEvents are what services record of themselves.
var serviceEvents = []*call{
	{source: "kms", name: "RotateKey", write: true, version: "1.09", kind: "AwsServiceEvent", sed: compile(`{"keyId":"%{cmk}","rotationType":"AUTOMATIC"}`)},
	{source: "kms", name: "GenerateDataKey", version: "1.11",
		rp: compile(`{"keyId":"arn:aws:kms:%{region}:%{account}:key/%{cmk}","encryptionContext":{"aws:cloudtrail:arn":"arn:aws:cloudtrail:%{region}:%{account}:trail/organization-trail"},"keySpec":"AES_256"}`)},
	{source: "s3", name: "GetBucketAcl", version: "1.11", rp: compile(`{"bucketName":"%{bucket}","Host":"%{bucket}.s3.%{region}.amazonaws.com","acl":""}`)},
	{source: "ssm", name: "UpdateInstanceInformation", write: true, version: "1.08", rp: compile(`{"instanceId":"%{instance}","agentVersion":"3.3.2746.0","agentStatus":"Active","platformType":"Linux"}`)},
}

// Workloads, by what they do.
type workloadKind struct {
	role  string // of instances
	name  string // of functions
	calls []*call
}

var instanceKinds = []workloadKind{
	{role: "web-server", calls: []*call{
		read("ssm", "GetParametersByPath", `{"path":"/web/","recursive":true,"withDecryption":true}`),
		read("secretsmanager", "GetSecretValue", `{"secretId":"%{secret}"}`),
		read("ec2", "DescribeTags", `{"filterSet":{"items":[{"name":"resource-id","valueSet":{"items":[{"value":"%{instance}"}]}}]}}`),
	}},
	{role: "batch-worker", calls: []*call{
		read("sts", "GetCallerIdentity", ""),
		read("sqs", "GetQueueAttributes", `{"queueUrl":"https://sqs.%{region}.amazonaws.com/%{account}/jobs","attributeNames":["All"]}`),
		read("kms", "DescribeKey", `{"keyId":"%{cmk}"}`),
	}},
	{role: "build-agent", calls: []*call{
		read("ecr", "GetAuthorizationToken", ""),
		read("ecr", "BatchGetImage", `{"registryId":"%{account}","repositoryName":"%{pick:shop|search|data}","imageIds":[{"imageTag":"latest"}]}`),
	}},
}

var functionKinds = []workloadKind{
	{name: "orders-api", calls: []*call{
		read("dynamodb", "DescribeTable", `{"tableName":"%{table}"}`),
		read("secretsmanager", "GetSecretValue", `{"secretId":"%{secret}"}`),
	}},
	{name: "snapshot-cleaner", calls: []*call{
		read("ec2", "DescribeSnapshots", `{"maxResults":500,"snapshotSet":{},"ownersSet":{"items":[{"owner":"self"}]},"filterSet":{}}`),
		api("ec2", "DeleteSnapshot", true, `{"snapshotId":"snap-0%{hex:17}","force":false}`, `{"requestId":"%{uuid}","_return":true}`),
	}},
	{name: "key-age-report", calls: []*call{
		read("iam", "ListUsers", ""),
		read("iam", "ListAccessKeys", `{"userName":"%{user}"}`),
		read("iam", "GetAccessKeyLastUsed", `{"accessKeyId":"AKIA%{pick:QX7DTLMWZ2HVJK4B|5NR6PYCSAE3UGFOI}"}`),
	}},
}
