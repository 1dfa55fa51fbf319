package filter_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/filter"
)

const (
	serviceRecord = `{"eventVersion":"1.11","userIdentity":{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"},"eventTime":"2025-03-06T00:08:47Z","eventSource":"kms.amazonaws.com","eventName":"GenerateDataKey","awsRegion":"eu-west-1","sourceIPAddress":"cloudtrail.amazonaws.com","requestParameters":{"keySpec":"AES_256","n":[1,-2.5e3,true,null,"a\"\u00e9"]},"responseElements":null,"eventID":"aa1ae14f","recipientAccountId":"111122223333"}`
	linkedRecord  = `{"userIdentity":{"type":"AssumedRole","accountId":"000022223333","arn":"arn:aws:sts::000022223333:assumed-role/AWSServiceRoleForX/s","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::000022223333:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX","userName":"AWSServiceRoleForX"},"attributes":{}}},"eventTime":"2025-03-06 00:08:47.5","eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","eventID":"b"}`
)

// checkHead checks that what is told from a record's head is what the whole
// record says; it reports whether the head told anything.
func checkHead(t *testing.T, record []byte) bool {
	t.Helper()
	f := newFilter(t, filter.Config{ServiceEvents: true})
	var row event.Filtered
	s := event.NewSplitter(bytes.NewReader(slices.Concat([]byte("[{},"), record, []byte(",{}]"))))
	p := event.NewParser()
	if _, _, err := p.Next(s); err == nil {
		t.Fatal("an empty record was taken")
	}
	_, raw, dropped, err := p.NextUnless(s, f.MayBeNoise, func(h *event.Head) bool {
		row = h.Filtered(f.HeadReason(h))
		return row.Reason != ""
	})
	_, again, _ := event.NewParser().ParseUnless(record, f.MayBeNoise, func(h *event.Head) bool { return f.HeadReason(h) != "" })
	if again && !dropped {
		t.Fatalf("dropped alone, but not from a stream: %s", record)
	}
	if !dropped {
		return false
	}
	if len(raw.Data) == len(record) && !again {
		t.Fatalf("dropped from a stream, but not alone: %s", record)
	}
	if err != nil {
		t.Fatalf("dropped with an error: %v", err)
	}
	e, err := event.NewParser().Parse(raw.Data)
	if err != nil {
		t.Fatalf("dropped what the parser rejects: %v\n%s", err, raw.Data)
	}
	want := event.Filtered{
		EventID: e.EventID, EventTime: e.EventTime, AccountID: e.AccountID, AWSRegion: e.AWSRegion,
		EventSource: e.EventSource, EventName: e.EventName, Reason: f.Reason(&e),
	}
	if row != want {
		t.Fatalf("%+v, want %+v\n%s", row, want, raw.Data)
	}
	return true
}

func TestHead(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           bool
	}{
		{"as it is", "", "", true},
		{"another type", `"AWSService"`, `"IAMUser"`, false},
		{"an escape in a key", `"eventName"`, `"event\u004eame"`, false},
		{"an escape in a value", `"GenerateDataKey"`, `"Generate\u0044ataKey"`, false},
		{"an escape elsewhere", `"AES_256"`, `"\u0041"`, true},
		{"a bad escape elsewhere", `"AES_256"`, `"\x"`, false},
		{"a bad number", `-2.5e3`, `-02`, false},
		{"a needed key twice", `"eventID"`, `"eventID":"z","eventID"`, false},
		{"the identity twice", `"eventID"`, `"userIdentity":{},"eventID"`, false},
		{"no id", `"eventID"`, `"eventId"`, false},
		{"no time", `2025-03-06T`, `2025-13-06T`, false},
		{"an id that is a number", `"aa1ae14f"`, `7`, false},
		{"a list of records", `"eventID"`, `"Records":[],"eventID"`, false},
		{"a control character", `AES_256`, "\x01", false},
		{"not UTF-8 elsewhere", `AES_256`, "\xff", true},
		{"not UTF-8 in a value", `eu-west-1`, "\xff", false},
		{"a comma too many", `"keySpec":"AES_256",`, `"keySpec":"AES_256",,`, false},
	} {
		rec := []byte(serviceRecord)
		if c.old != "" {
			rec = bytes.Replace(rec, []byte(c.old), []byte(c.new), 1)
		}
		if got := checkHead(t, rec); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !checkHead(t, []byte(linkedRecord)) {
		t.Error("a session of a linked role is not told from its head")
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(serviceRecord))
	f.Add([]byte(linkedRecord))
	f.Fuzz(func(t *testing.T, record []byte) { checkHead(t, record) })
}
