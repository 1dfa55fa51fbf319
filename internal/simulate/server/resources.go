package server

import (
	"maps"
	"slices"

	"github.com/valyala/fastjson"
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
	p := recordParsers.Get()
	defer recordParsers.Put(p)
	list := []lookupResource{}
	r, err := p.ParseBytes(record)
	if err != nil {
		return list // not one of ours
	}
	add := func(kind string, name []byte) {
		if one := (lookupResource{kind, string(name)}); len(name) > 0 && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	for _, x := range r.GetArray("resources") {
		add(string(x.GetStringBytes("type")), x.GetStringBytes("ARN"))
	}
	asked := r.Get("requestParameters")
	for _, k := range namedSorted {
		add(named[k], asked.GetStringBytes(k))
	}
	add("AWS::IAM::AccessKey", r.GetStringBytes("responseElements", "credentials", "accessKeyId"))
	add("AWS::IAM::AccessKey", r.GetStringBytes("responseElements", "accessKey", "accessKeyId"))
	return list
}

var (
	recordParsers fastjson.ParserPool
	namedSorted   = slices.Sorted(maps.Keys(named))
)
