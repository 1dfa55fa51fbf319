package event

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fastjson"
)

// typical are records as trails have them: 1.5 KB on average, a read by a role
// session, a denied call, a role assumed by a service, a policy change.
var typical = []string{
	`{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROA4EXAMPLE7EXAMPLE1:i-0a1b2c3d4e5f60718","arn":"arn:aws:sts::111122223333:assumed-role/app-server/i-0a1b2c3d4e5f60718","accountId":"111122223333","accessKeyId":"ASIA4EXAMPLE7EXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA4EXAMPLE7EXAMPLE1","arn":"arn:aws:iam::111122223333:role/app-server","accountId":"111122223333","userName":"app-server"},"webIdFederationData":{},"attributes":{"creationDate":"2026-05-04T07:58:11Z","mfaAuthenticated":"false"},"ec2RoleDelivery":"2.0"}},"eventTime":"2026-05-04T09:12:44Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-central-1","sourceIPAddress":"10.20.30.40","userAgent":"[aws-sdk-java/2.25.11 Linux/6.1.79-99.164.amzn2023.x86_64 OpenJDK_64-Bit_Server_VM/17.0.10+8-LTS Java/17.0.10 kotlin/1.8.21 vendor/Amazon.com_Inc. io/sync http/Apache cfg/retry-mode/legacy]","requestParameters":{"bucketName":"example-app-data","Host":"example-app-data.s3.eu-central-1.amazonaws.com","key":"tenants/0042/2026/05/04/part-00017-b1946ac9-2493.snappy.parquet"},"responseElements":null,"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":0.0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"Qupi+O9KF9Ikbyv8yN87LcLFLPTi2tlynv1vV8o+SLdsUXQnw5+VsN4TDz2oJ66nBOpeVS3uBt4=","bytesTransferredOut":2356.0},"requestID":"0KB7YBPCHY6RKNF4","eventID":"6b68d016-d674-44b8-91c6-e5611855%04d","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::example-app-data/tenants/0042/2026/05/04/part-00017-b1946ac9-2493.snappy.parquet"},{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::example-app-data"}],"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"example-app-data.s3.eu-central-1.amazonaws.com"}}`,
	`{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","principalId":"AIDA4EXAMPLE7EXAMPLE2","arn":"arn:aws:iam::111122223333:user/ci/deployer","accountId":"111122223333","accessKeyId":"AKIA4EXAMPLE7EXAMPLE","userName":"deployer"},"eventTime":"2026-05-04T09:12:45Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.7","userAgent":"aws-cli/2.15.30 md/awscrt#0.19.19 ua/2.0 os/linux#6.5.0 md/arch#x86_64 lang/python#3.11.8 cfg/retry-mode#standard md/prompt#off md/command#ec2.run-instances","errorCode":"Client.UnauthorizedOperation","errorMessage":"You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/ci/deployer is not authorized to perform: ec2:RunInstances on resource: arn:aws:ec2:eu-central-1:111122223333:instance/* because no identity-based policy allows the ec2:RunInstances action.","requestParameters":{"instancesSet":{"items":[{"imageId":"ami-0123456789abcdef0","minCount":1,"maxCount":4,"keyName":"ops"}]},"instanceType":"p4d.24xlarge","blockDeviceMapping":{},"monitoring":{"enabled":false},"disableApiTermination":false,"clientToken":"b59974fd-e63c-489a-9011-4386f541e2e7"},"responseElements":null,"requestID":"1d3c5f7e-0b2a-4d6c-8e9f-a1b2c3d4e5f6","eventID":"0f9e8d7c-6b5a-4938-8271-605f4e3d%04d","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"ec2.eu-central-1.amazonaws.com"}}`,
	`{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"ecs-tasks.amazonaws.com"},"eventTime":"2026-05-04T09:12:46Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole","awsRegion":"eu-central-1","sourceIPAddress":"ecs-tasks.amazonaws.com","userAgent":"ecs-tasks.amazonaws.com","requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/task/orders","roleSessionName":"7f3d0a4be1c94d0aa2f1","durationSeconds":3600},"responseElements":{"credentials":{"accessKeyId":"ASIA4EXAMPLE7EXAMPL3","expiration":"May 4, 2026, 10:12:46 AM","sessionToken":"` + fakeSessionToken + `"},"assumedRoleUser":{"assumedRoleId":"AROA4EXAMPLE7EXAMPLE3:7f3d0a4be1c94d0aa2f1","arn":"arn:aws:sts::111122223333:assumed-role/orders/7f3d0a4be1c94d0aa2f1"}},"requestID":"2ee3c601-6ecd-4ca2-9caa-41758d4fdf34","eventID":"60e53511-ad0a-4df4-bbed-29ef012c%04d","readOnly":true,"resources":[{"accountId":"111122223333","type":"AWS::IAM::Role","ARN":"arn:aws:iam::111122223333:role/task/orders"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","sharedEventID":"f04ccf0d-bcf5-4cc1-945c-3114084d70ff","eventCategory":"Management"}`,
	`{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","principalId":"AROA4EXAMPLE7EXAMPLE4:alice@example.com","arn":"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/alice@example.com","accountId":"111122223333","accessKeyId":"ASIA4EXAMPLE7EXAMPL4","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROA4EXAMPLE7EXAMPLE4","arn":"arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef","accountId":"111122223333","userName":"AWSReservedSSO_Admin_0123456789abcdef"},"attributes":{"creationDate":"2026-05-04T08:30:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-05-04T09:12:47Z","eventSource":"iam.amazonaws.com","eventName":"PutRolePolicy","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.23","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36","requestParameters":{"roleName":"orders","policyName":"inline","policyDocument":"{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\"Effect\": \"Allow\", \"Action\": [\"s3:GetObject\", \"s3:PutObject\"], \"Resource\": \"arn:aws:s3:::example-app-data/*\"}]\n}"},"responseElements":null,"requestID":"8f14e45f-ceea-467f-ab41-0e5a1c2d3b4f","eventID":"9a8b7c6d-5e4f-4a3b-9c2d-1e0f9a8b%04d","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","sessionCredentialFromConsole":"true"}`,
}

// fakeSessionToken looks like a session token and is none.
var fakeSessionToken = "IQoJb3JpZ2luX2VjEJD//////////wEaDGV1LWNlbnRyYWwtMSJ" + strings.Repeat("Q0FOQVJZc2Vzc2lvbg+/", 32)

// typicalStream returns a trail file with n records.
func typicalStream(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"Records":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, typical[i%len(typical)], i)
	}
	b.WriteString("]}")
	return b.Bytes()
}

const benchRecords = 1000

// perRecord reports the time of one record, split and parsed.
func perRecord(b *testing.B, size int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
	b.SetBytes(int64(size))
	b.ReportAllocs()
}

// BenchmarkNext is what import does: a trail file, split and parsed.
func BenchmarkNext(b *testing.B) {
	data := typicalStream(benchRecords)
	p := NewParser()
	for b.Loop() {
		s := NewSplitter(bytes.NewReader(data))
		for {
			_, _, err := p.Next(s)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	perRecord(b, len(data))
}

func BenchmarkParse(b *testing.B) {
	var records [][]byte
	size := 0
	for i := range benchRecords {
		records = append(records, fmt.Appendf(nil, typical[i%len(typical)], i))
		size += len(records[i])
	}
	p := NewParser()
	for b.Loop() {
		for _, r := range records {
			if _, err := p.Parse(r); err != nil {
				b.Fatal(err)
			}
		}
	}
	perRecord(b, size)
}

func BenchmarkSplit(b *testing.B) {
	data := typicalStream(benchRecords)
	for b.Loop() {
		s := NewSplitter(bytes.NewReader(data))
		for {
			if _, err := s.Next(); err == io.EOF {
				break
			}
		}
	}
	perRecord(b, len(data))
}

// BenchmarkFastjson is what parsing alone costs with a fast library.
func BenchmarkFastjson(b *testing.B) {
	data := typicalStream(benchRecords)
	var p fastjson.Parser
	for b.Loop() {
		if _, err := p.ParseBytes(data); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, len(data))
}

func BenchmarkRecord(b *testing.B) {
	e, err := NewParser().Parse(fmt.Appendf(nil, typical[0], 1))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := e.Record(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
}
