package laketest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Account returns the i-th made-up account id.
func Account(i int) string { return fmt.Sprintf("%012d", 100200300400+i*7919) }

func pick[T any](r *rand.Rand, s []T) T { return s[int(float64(len(s))*r.Float64()*r.Float64())] }

var apis = []struct{ source, name, category string }{
	{"sts.amazonaws.com", "AssumeRole", event.CategorySTS},
	{"sts.amazonaws.com", "GetCallerIdentity", event.CategorySTS},
	{"iam.amazonaws.com", "ListAttachedRolePolicies", event.CategoryIAM},
	{"iam.amazonaws.com", "GetRole", event.CategoryIAM},
	{"iam.amazonaws.com", "PutRolePolicy", event.CategoryIAM},
	{"ec2.amazonaws.com", "DescribeInstances", event.CategoryOther},
	{"signin.amazonaws.com", "ConsoleLogin", event.CategorySignin},
	{"iam.amazonaws.com", "CreateAccessKey", event.CategoryIAM},
	{"sso.amazonaws.com", "GetRoleCredentials", event.CategorySSO},
}

// Traffic makes n events of one day that look like an organization's: a few
// accounts, some hundred principals, about 1.5 KB of record each.
func Traffic(seed uint64, date event.Date, n int) []event.Event {
	r := rand.New(rand.NewPCG(seed, uint64(date)))
	id := func() string {
		return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>16, r.Uint32()>>16, r.Uint64()>>16)
	}
	yes, no := true, false
	base := date.Time().UnixMilli()
	out := make([]event.Event, 0, n)
	for range n {
		api := pick(r, apis)
		acct := Account(pick(r, []int{0, 1, 2, 3, 4, 5}))
		who := fmt.Sprintf("person-%03d", int(400*r.Float64()*r.Float64()))
		role := fmt.Sprintf("Team%02dDeveloperAccess", r.IntN(24))
		target := fmt.Sprintf("arn:aws:iam::%s:role/service/App%03dTaskRole", acct, r.IntN(300))
		key := fmt.Sprintf("ASIA%016X", uint64(r.IntN(2000))*2654435761*2654435761)
		e := event.Event{
			EventID: id(), EventTime: base + int64(r.IntN(86400))*1000, AccountID: acct,
			AWSRegion:   pick(r, []string{"us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2"}),
			EventSource: api.source, EventName: api.name, EventType: "AwsApiCall", Category: api.category,
			Outcome: event.OutcomeOK, ReadOnly: &yes,
			SourceIP:     fmt.Sprintf("203.0.%d.%d", 113+r.IntN(3), r.IntN(250)),
			UserAgent:    pick(r, []string{"aws-cli/2.15.30 md/awscrt#0.19.19 ua/2.0 os/linux#6.1 md/arch#x86_64 lang/python#3.11.8", "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#5.10 md/arch#x86_64 lang/python#3.10.12", "Terraform/1.7.5 (+https://www.terraform.io) terraform-provider-aws/5.42.0", "AWS Internal"}),
			IdentityType: "AssumedRole",
			IdentityARN:  "arn:aws:sts::" + acct + ":assumed-role/" + role + "/" + who + "@example.com",
			PrincipalID:  "AROAEXAMPLE" + role[4:6] + "XYZ:" + who + "@example.com", IdentityAccountID: acct,
			RoleName: role, SessionName: who + "@example.com", AccessKeyID: key, MFA: &no,
			TargetKind: "role", TargetName: target[len(target)-14:], TargetARN: target,
			Actor: who + "@example.com", ActorKind: event.KindRoleSession,
			ActorChain:        role + " > " + who + "@example.com",
			RequestParameters: fmt.Sprintf(`{"durationSeconds":3600,"roleArn":"%s","roleSessionName":"%s"}`, target, who),
			Resources:         fmt.Sprintf(`[{"ARN":"%s","accountId":"%s","type":"AWS::IAM::Role"}]`, target, acct),
			Rest: fmt.Sprintf(`{"eventCategory":"Management","managementEvent":true,"requestID":"%s","sharedEventID":"%s","tlsDetails":{"cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"%s","tlsVersion":"TLSv1.3"},"userIdentity":{"sessionContext":{"attributes":{"creationDate":"%s","mfaAuthenticated":"false"},"sessionIssuer":{"accountId":"%s","arn":"arn:aws:iam::%s:role/%s","principalId":"AROAEXAMPLE%sXYZ","type":"Role","userName":"%s"}}}}`,
				id(), id(), api.source, "2026-03-07T0"+fmt.Sprint(r.IntN(10))+":12:33Z", acct, acct, role, role[4:6], role),
			EventVersion: pick(r, []string{"1.08", "1.09", "1.11"}),
		}
		if api.name == "AssumeRole" {
			e.ResponseElements = fmt.Sprintf(`{"assumedRoleUser":{"arn":"%s/%s","assumedRoleId":"AROAEXAMPLE:%s"},"credentials":{"accessKeyId":"%s","expiration":"Mar 7, 2026, 1:12:33 PM"}}`, target, who, who, key)
			e.IssuedAccessKeyID = key
		}
		if r.IntN(20) == 0 {
			e.ErrorCode, e.Outcome = "AccessDenied", event.OutcomeDenied
			e.ErrorMessage = "User: " + e.IdentityARN + " is not authorized to perform: " + api.name + " on resource: " + target
		}
		e.RecordHash = contentHash(&e)
		together(&e)
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b event.Event) int { return a.Compare(&b) })
	return out
}

// contentHash stands for the parser's record hash: it depends on the content.
func contentHash(e *event.Event) int64 {
	s := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q %q %q", e.AccountID, e.EventID, e.EventTime, e.EventName, e.RequestParameters, e.Rest))
	return int64(binary.BigEndian.Uint64(s[:8]))
}

// together lets the texts of an event be parts of one, as the parser makes them:
// where they lie decides how fast they can be read.
func together(e *event.Event) {
	v := reflect.ValueOf(e).Elem()
	var all []byte
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			all = append(all, f.String()...)
		}
	}
	text := string(all)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			n := len(f.String())
			f.SetString(text[:n])
			text = text[n:]
		}
	}
}
