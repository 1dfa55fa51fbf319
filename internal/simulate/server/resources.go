package server

import (
	"encoding/json"
	"slices"
)

// named are request parameters that name a resource, and its type (AWS CloudTrail
// User Guide, "Resource types supported by CloudTrail event history"; AWS
// CloudFormation's names).
var named = map[string]string{
	"userName":         "AWS::IAM::User",
	"roleName":         "AWS::IAM::Role",
	"roleArn":          "AWS::IAM::Role",
	"groupName":        "AWS::IAM::Group",
	"policyArn":        "AWS::IAM::Policy",
	"accessKeyId":      "AWS::IAM::AccessKey",
	"bucketName":       "AWS::S3::Bucket",
	"functionName":     "AWS::Lambda::Function",
	"stackName":        "AWS::CloudFormation::Stack",
	"tableName":        "AWS::DynamoDB::Table",
	"secretId":         "AWS::SecretsManager::Secret",
	"keyId":            "AWS::KMS::Key",
	"volumeId":         "AWS::EC2::Volume",
	"permissionSetArn": "AWS::SSO::PermissionSet",
}

// resources finds what a record refers to, as LookupEvents lists it, in a stable
// order.
func resources(record []byte) []lookupResource {
	var r struct {
		RequestParameters map[string]any
		ResponseElements  json.RawMessage
		Resources         []struct{ ARN, Type string }
	}
	list := []lookupResource{}
	if json.Unmarshal(record, &r) != nil {
		return list // not one of ours
	}
	add := func(kind, name string) {
		if one := (lookupResource{kind, name}); name != "" && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	for _, x := range r.Resources {
		add(x.Type, x.ARN)
	}
	var keys []string
	for k := range r.RequestParameters {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if v, ok := r.RequestParameters[k].(string); ok && named[k] != "" {
			add(named[k], v)
		}
	}
	var issued struct {
		Credentials, AccessKey struct{ AccessKeyID string }
	}
	if json.Unmarshal(r.ResponseElements, &issued) == nil {
		add("AWS::IAM::AccessKey", issued.Credentials.AccessKeyID)
		add("AWS::IAM::AccessKey", issued.AccessKey.AccessKeyID)
	}
	return list
}
