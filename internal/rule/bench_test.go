package rule

import (
	"fmt"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
)

func testEvent(name, request string) event.Event {
	write := false
	return event.Event{
		EventID: "1", EventTime: 1717243200000, AccountID: "111122223333", EventSource: sourceIAM, EventName: name,
		Category: event.CategoryIAM, Outcome: event.OutcomeOK, ReadOnly: &write, IdentityType: typeIAMUser,
		UserName: "alice", Actor: "alice", IdentityARN: "arn:aws:iam::111122223333:user/alice", SourceIP: "198.51.100.7",
		RequestParameters: request, EventVersion: "1.09",
	}
}

func BenchmarkEvaluate(b *testing.B) {
	en, err := NewEngine(Config{})
	if err != nil {
		b.Fatal(err)
	}
	read := true
	assume := testEvent("AssumeRole", `{"roleArn":"arn:aws:iam::111122223333:role/r","roleSessionName":"s"}`)
	assume.EventSource, assume.Category, assume.ReadOnly = "sts.amazonaws.com", event.CategorySTS, &read
	other := testEvent("GetObject", `{"bucketName":"b"}`)
	other.EventSource, other.Category, other.ReadOnly = "s3.amazonaws.com", event.CategoryOther, &read
	list := testEvent("ListUsers", "")
	list.ReadOnly = &read
	for name, e := range map[string]event.Event{
		"miss/sts": assume, "miss/s3": other, "miss/iam-read": list, "miss/iam-write": testEvent("TagUser", `{"userName":"bob","tags":[]}`),
		"hit/user":   testEvent("CreateUser", `{"userName":"bob"}`),
		"hit/inline": testEvent("PutUserPolicy", `{"userName":"bob","policyName":"p","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				en.Evaluate(&e)
			}
		})
	}
}

func BenchmarkSettle(b *testing.B) {
	en, err := NewEngine(Config{OffHours: OffHoursConfig{Start: "0", End: "24"}})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 100, 10000} {
		var facts []Fact
		for i := range n {
			e := testEvent("TagUser", "")
			e.EventID = fmt.Sprint(i)
			facts = append(facts, en.Evaluate(&e)...)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				en.Settle(facts)
			}
		})
	}
}
